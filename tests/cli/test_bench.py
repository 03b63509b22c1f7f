"""`edge-fer bench` as a user meets it; nothing is measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from edge_fer import bench
from edge_fer.bench import Plan
from edge_fer.bench.live import Length
from edge_fer.bench.records import Report
from edge_fer.bench.reference import load
from edge_fer.cli import bench as cli_bench
from edge_fer.cli.app import app
from edge_fer.errors import ConfigError
from edge_fer.settings import Settings
from tests.support.bench_made import MEASURED, PREDICTED

Told = Callable[[str, float], None]


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Settings, Plan]]:
    """What the command would have measured; its report is made to order."""
    seen: list[tuple[Settings, Plan]] = []

    def run(settings: Settings, plan: Plan, progress: Told) -> Report:
        seen.append((settings, plan))
        for done in (0.0, 0.5):
            progress("measuring", done)
        progress("drawing", 0.0)
        return PREDICTED if plan.profile else MEASURED

    monkeypatch.setattr(bench, "run_bench", run)
    return seen


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["bench", *arguments])


def test_the_usual_length_is_sixty_frames_and_ten_seconds(plans: list[tuple[Settings, Plan]]) -> None:
    assert run().exit_code == 0
    ((settings, plan),) = plans
    assert plan == Plan((), 60, 5, 600, 5, Length(2.0, 10.0))
    assert settings.capture.source == "sample"


@pytest.mark.parametrize(
    ("given", "frames", "seconds"), [(["--frames", "90"], 90, 3.0), (["--seconds", "60"], 1800, 60.0)]
)
def test_a_length_is_one_of_both(
    plans: list[tuple[Settings, Plan]], given: list[str], frames: int, seconds: float
) -> None:
    run(*given)
    assert (plans[0][1].frames, plans[0][1].length.seconds) == (frames, seconds)


def test_every_option_reaches_the_plan(plans: list[tuple[Settings, Plan]]) -> None:
    run("--camera", "synthetic:3", "--min-face", "25", "--faces", "0, 1,4,1", "--turns", "2", "--size", "300",
        "--warm-up", "0.5", "--model", "lite")  # fmt: skip
    settings, plan = plans[0]
    assert settings.classify.model == "lite"
    assert (settings.capture.source, settings.detect.min_face) == ("synthetic:3", 25)
    assert (plan.crowds, plan.turns, plan.size, plan.length.warm_up_s) == ((0, 1, 4), 2, 300, 0.5)
    run("--simulate", "usb3", "--faces", "1,4")
    profile = plans[1][1].profile
    assert profile is not None
    assert profile.name == "usb3"
    run("--simulate", "two-boards", "--network-ms", "5")
    profile = plans[2][1].profile
    assert profile is not None
    assert (profile.network_ms, profile.face_ms) == (5, 6.5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--frames", "3", "--seconds", "4"], "found both; leave one out"),
        (["--faces", "1,many"], "found `1,many`; try 0,1,4,8,16"),
        (["--faces", "100"], "0 to 99"),
        (["--faces", ","], "found `,`"),
        (["--faces", "-1"], "found `-1`"),
        (["--simulate", "pi5"], "out of dev-board, usb3, pi4, two-boards, found `pi5`"),
        (["--simulate", "pi4", "--network-ms", "3"], "expected --network-ms with two boards, found it with `pi4`"),
        (["--network-ms", "3"], "expected --network-ms with --simulate two-boards, found it alone"),
        (["--simulate", "pi4", "--save", "x.csv"], "predictions are no reference"),
        (["--simulate", "pi4", "--against", "lite"], "expected detectors (mtcnn, yolo, yolo-own) in --against"),
        (["--against", "fast"], "found `fast`"),
        (["--save", "none/x.csv"], "for --save, found none"),
        (["--plot", "none/x.png"], "for --plot, found none"),
        (["--plot", "x.jpg"], "ends with .png"),
        (["--reference", "none.csv"], "make one with --save"),
    ],
)
def test_nonsense_is_refused_before_anything_is_measured(
    plans: list[tuple[Settings, Plan]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert isinstance(result.exception, ConfigError)
    assert words in str(result.exception)
    assert "\n" not in str(result.exception)
    assert plans == []


def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the command writes to standard output, by and by."""
    texts: list[str] = []

    class Caught:
        is_terminal = False

        def write(self, text: str) -> None:
            texts.append(text)

    monkeypatch.setattr(cli_bench, "Stdout", Caught)
    return texts


@pytest.mark.usefixtures("plans")
def test_figures_go_to_standard_output_and_progress_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = written(monkeypatch)
    assert run().stderr == "measuring\ndrawing\n", "a line for each thing that is begun"
    run("--json")
    assert "paced like a camera" in texts[0]
    assert texts[1] == MEASURED.to_json() + "\n"


@pytest.mark.usefixtures("plans")
def test_kept_figures_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts, path = written(monkeypatch), tmp_path / "board.csv"
    run("--save", str(path))
    assert len(load(path)) > 20
    run("--reference", str(path))
    assert "live latency p95" in texts[-1]
    assert "1.00x" in texts[-1]
    path.write_text(path.read_text().replace("A Board", "B"))
    result = run("--reference", str(tmp_path))
    assert "no reference for A Board, 4 cores yet, only for: B, 4 cores; keep one with --save" in result.stderr
    assert "no reference for A Board, 4 cores yet" in run("--reference", "auto").stderr


def test_help_reads_like_a_manual(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    text = run("--help").stdout
    for word in (
        "Examples:",
        "edge-fer bench --simulate dev-board --faces 1,4",
        "--reference",
        "needs the extra `plot`",
    ):
        assert word in text

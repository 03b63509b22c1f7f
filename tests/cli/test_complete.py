"""What the shell offers after Tab, and that the offer is cheap."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge_fer.cli.app import app
from edge_fer.cli.complete import source_completer
from tests.cli.test_cli import ENVIRONMENT


def asked(line: str) -> dict[str, str]:
    """The environment in which bash asks for the completion of the last word of a line."""
    return {"_EDGE_FER_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}


def complete(line: str) -> list[str]:
    return CliRunner().invoke(app, env=asked(line), prog_name="edge-fer").output.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("edge-fer r", ["run"]),
        ("edge-fer run --mo", ["--models", "--model"]),
        ("edge-fer run --camera sy", ["synthetic:1"]),
        ("edge-fer bench --camera sa", ["sample"]),
        ("edge-fer run --model se_", ["se_resnet50"]),
        ("edge-fer run --backend c", ["cpu"]),
        ("edge-fer run --detector y", ["yolo"]),
        ("edge-fer run --clahe o", ["off", "on"]),
        ("edge-fer run --format j", ["json"]),
        ("edge-fer run --log-format j", ["journal", "json"]),
        ("edge-fer lab expo", ["export", "export-detector"]),
        ("edge-fer run --camera ./", []),
    ],
)
def test_the_shell_offers_what_fits(line: str, offered: list[str]) -> None:
    assert complete(line) == offered


def test_models_are_those_of_the_folder_that_was_named(tmp_path: Path) -> None:
    assert complete(f"edge-fer run --models {tmp_path} --model ") == [], "no manifest, and no traceback"


def test_cameras_are_those_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "video2").touch()
    (tmp_path / "null").touch()
    assert source_completer(tmp_path)(f"{tmp_path}") == [str(tmp_path / "video2")]


def test_bash_is_given_a_script() -> None:
    code = "import sys; sys.argv = ['edge-fer', '--show-completion']; from edge_fer.__main__ import main; main()"
    under_bash = ["bash", "-c", '"$@"; exit', "bash", sys.executable, "-c", code]  # `exit`: so that bash stays
    shown = subprocess.run(under_bash, capture_output=True, text=True, env=ENVIRONMENT, check=True)
    assert "complete -o default -F _edge_fer_completion edge-fer" in shown.stdout


def test_neither_the_lab_nor_opencv_is_loaded_for_it() -> None:
    code = (
        "import sys, atexit; sys.argv = ['edge-fer']; heavy = {'cv2', 'ai_edge_litert', 'edge_fer.lab'};"
        "atexit.register(lambda: print(sorted(heavy & set(sys.modules)), file=sys.stderr));"
        "from edge_fer.__main__ import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**ENVIRONMENT, **asked("edge-fer run --camera s")},
        check=True,
    )
    assert (done.stdout.split(), done.stderr) == (["sample", "synthetic:1"], "[]\n")


@pytest.mark.parametrize(
    "command",
    ["", "run", "cameras", "doctor", "bench", "config", "config show", "config check", "config schema", "models",
     "models list", "models verify"],
)  # fmt: skip
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    text = CliRunner().invoke(app, [*command.split(), "--help"], prog_name="edge-fer").output
    assert "Example" in text
    assert f"edge-fer {command}".strip() in text.partition("Example")[2]

"""`edge-fer label` as a whole, on small films with faces in them."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from edge_fer.archive.columns import TABLES
from edge_fer.archive.job import make_job
from edge_fer.archive.labelling import label_segment
from edge_fer.archive.recordings import Recording
from edge_fer.archive.segments import WHOLE
from edge_fer.archive.tables import read_rows
from edge_fer.archive.tasks import Cut, Failure, Join, Label, Whole, perform
from edge_fer.cli.app import app
from edge_fer.errors import ConfigError, SourceError
from edge_fer.settings import load_settings
from edge_fer.synthetic.scenes import crowd_scene
from tests.support.films import picture, write_film

CONFIG = "{classify: {backend: fake}}"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film with two faces, one without, one that breaks off, and no film."""
    folder = tmp_path_factory.mktemp("archive")
    scene = crowd_scene(seed=3, faces=2, frames=8)
    write_film(folder / "two.mkv", [scene.render(n) for n in range(8)], times_ms=[0, 40, 80, 200, 240, 280, 320, 360])
    write_film(folder / "none.mp4", [picture(n) for n in range(6)])
    write_film(folder / "long.mkv", [picture(n) for n in range(200)])
    content = (folder / "long.mkv").read_bytes()
    (folder / "long.mkv").write_bytes(content[: len(content) // 2])
    (folder / "bad.avi").write_bytes(b"\0" * 1000)
    (folder / "config.yaml").write_text(CONFIG)
    return folder


def label(*arguments: object, **more: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edge_fer", "label", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **more)


def rows(out: Path, table: str, name: str) -> list[dict[str, Any]]:
    return list(read_rows(out / table / f"{name}.parquet"))


@pytest.mark.slow
def test_an_archive_becomes_tables(archive: Path, tmp_path: Path) -> None:
    done = label(archive, "--out", tmp_path / "out", "--config", archive / "config.yaml", "--workers", 2)
    assert done.returncode == 3, done.stderr
    assert "found 2 that could not be; see" in done.stderr
    out = tmp_path / "out"
    frames, faces, tracks = (rows(out, table, "two.mkv") for table in TABLES)
    assert [frame["position_ms"] for frame in frames] == [0, 40, 80, 200, 240, 280, 320, 360]
    assert [frame["lasted_ms"] for frame in frames] == [0, 40, 40, 120, 40, 40, 40, 40]
    assert [frame["faces"] for frame in frames] == [2] * 8
    assert [(face["frame"], face["track"]) for face in faces] == [(n, track) for n in range(8) for track in (1, 2)]
    assert [(track["track"], track["frames_seen"], track["last_ms"]) for track in tracks] == [(1, 8, 360), (2, 8, 360)]
    assert len(rows(out, "frames", "none.mp4")) == 6
    assert rows(out, "faces", "none.mp4") == rows(out, "tracks", "none.mp4") == []
    assert 0 < len(rows(out, "frames", "long.mkv")) < 200
    listed = (out / "failed.csv").read_text().splitlines()
    assert [line.split(",")[0::2][:2] for line in listed[1:]] == [["bad.avi", "failed"], ["long.mkv", "incomplete"]]
    assert "<svg" in (out / "report.html").read_text()
    assert oct((out / "faces/two.mkv.parquet").stat().st_mode & 0o777) in {"0o640", "0o600"}
    assert [path.parent.name for path in (out / ".parts").rglob("*") if path.is_file()] == []


@pytest.mark.slow
def test_json_lines_have_the_same_rows(archive: Path, tmp_path: Path) -> None:
    listed = f"{archive}/two.mkv\n\n{archive}/none.mp4\r\n"
    more = ("--config", archive / "config.yaml", "--workers", 1, "--every", 2)
    for form in ("parquet", "jsonl"):
        done = label("-", "--out", tmp_path / form, "--format", form, *more, input=listed)
        assert done.returncode == 0, done.stderr
    other = label("-", "--out", tmp_path / "parquet", "--format", "jsonl", *more, input=f"{archive}/none.mp4")
    assert other.returncode == 0, other.stderr
    tables = {path.name for name in ("frames", "faces", "tracks") for path in (tmp_path / "parquet" / name).iterdir()}
    assert tables == {"two.mkv.parquet", "none.mp4.jsonl"}, "one set of each recording, in the form of its last job"
    assert "two.mkv (no tables in jsonl)" in " ".join(other.stdout.split())
    lines = (tmp_path / "jsonl/faces/two.mkv.jsonl").read_text().splitlines()
    faces = rows(tmp_path / "parquet", "faces", "two.mkv")
    assert (
        [json.loads(line)["frame"] for line in lines] == [face["frame"] for face in faces] == [0, 0, 2, 2, 4, 4, 6, 6]
    )
    for line, face in zip(lines, faces, strict=True):
        assert json.loads(line) == {
            key: pytest.approx(value, rel=1e-6) if isinstance(value, float) else value for key, value in face.items()
        }


def a_whole(archive: Path, out: Path, name: str = "two.mkv") -> Whole:
    settings = load_settings(environment={}, flags={"classify.backend": "fake"})
    out.mkdir(exist_ok=True)
    (out / ".lock").touch()
    return Whole(Recording(name, str(archive / name)), make_job(settings, out))


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]


def test_a_recording_that_changes_while_it_is_read_leaves_nothing(archive: Path, tmp_path: Path) -> None:
    path = tmp_path / "two.mkv"
    path.write_bytes((archive / "two.mkv").read_bytes())
    task = a_whole(tmp_path, tmp_path / "out")

    def grow(frames: int, length: int | None) -> None:
        os.utime(path, ns=(0, path.stat().st_mtime_ns + 10**9))

    with pytest.raises(SourceError, match="to stay as it was while it is read"):
        label_segment(task.recording, WHOLE, task.job, tmp_path / "part", grow)
    assert files(tmp_path / "part") == []
    with pytest.raises(SourceError, match="to stay as it was"):
        task.run(grow)
    assert list((tmp_path / "out/.parts").iterdir()) == [], "nor an empty folder"


@pytest.mark.slow
def test_segments_give_the_rows_of_the_film_in_one_piece(tmp_path: Path) -> None:
    scene = crowd_scene(seed=4, faces=2, frames=150, size=(320, 240))
    pictures = [scene.render(number) for number in range(150)]
    write_film(tmp_path / "a.mkv", pictures, times_ms=[number * 200 for number in range(150)])
    task = a_whole(tmp_path, tmp_path / "whole", "a.mkv")
    job = replace(task.job, segment_s=12.0, out=tmp_path / "cut")
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut/.lock").touch()
    segments = Cut(task.recording, job).run(lambda *_: None)
    assert [segment.start_ns // 10**9 for segment in segments] == [0, 12, 24]
    for segment in reversed(segments):
        Label(task.recording, job, segment).run(lambda *_: None)
    record = Join(task.recording, job, segments).run(lambda *_: None)
    whole = task.run(lambda *_: None)
    for table in TABLES:
        assert rows(tmp_path / "cut", table, "a.mkv") == rows(tmp_path / "whole", table, "a.mkv")
    assert (record.segments, record.faces, record.bins) == (3, whole.faces, whole.bins)
    assert whole.tracks == 2


@pytest.mark.slow
def test_a_full_disk_ends_the_job_and_leaves_nothing(archive: Path, tmp_path: Path) -> None:
    task = a_whole(archive, tmp_path / "out")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))  # Python ignores its signal: a write fails
    try:
        outcome = perform(task, lambda *_: None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert isinstance(outcome, Failure)
    assert (outcome.of, outcome.error) == ("job", "OutputError")
    assert "File too large" in outcome.reason
    assert files(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a.mp4", "--every", "2", "--fps", "3"), "expected --every or --fps, found both"),
        (("a.mp4", "--address", "auto"), "expected --engine ray beside --address"),
        (("a.mp4", "--segment", "5 MB"), "expected a time such as 10 min or 1 h for --segment, found '5 MB'"),
        (("/nowhere/a.mp4",), "found nothing at /nowhere/a.mp4"),
    ],
)
def test_what_cannot_be_asked_is_told(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["label", *arguments, "--out", str(tmp_path)])
    assert isinstance(result.exception, ConfigError)
    assert message in str(result.exception)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"classify.backend": "edgetpu"}, "expected classify.backend auto or cpu to label recordings, found edgetpu"),
        ({"detect.kind": "yolo", "detect.backend": "edgetpu"}, "expected detect.backend auto or cpu"),
        ({"detect.roll": "mavlink", "publish.mavlink.url": "udpout:127.0.0.1:1"}, "expected an angle in detect.roll"),
    ],
)
def test_settings_that_depend_on_the_machine_are_refused(
    flags: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        make_job(load_settings(environment={}, flags=flags), tmp_path)


def test_what_a_machine_would_choose_by_its_speed_is_pinned(tmp_path: Path) -> None:
    job = make_job(load_settings(environment={}), tmp_path)
    assert (job.settings.detect.precision, job.settings.classify.backend) == ("float32", "cpu")
    assert (job.settings.detect.threads, job.settings.classify.threads) == (1, 1)
    other = make_job(load_settings(environment={}, flags={"detect.threads": 4, "attend.enabled": True}), tmp_path)
    assert other.fingerprint == job.fingerprint
    assert (
        make_job(load_settings(environment={}, flags={"detect.min_face": 60}), tmp_path).fingerprint != job.fingerprint
    )
    assert make_job(load_settings(environment={}), tmp_path, fps=2).fingerprint != job.fingerprint

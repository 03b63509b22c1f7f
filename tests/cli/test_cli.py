"""The command line as a user meets it: real processes, their output, exit codes and signals."""

from __future__ import annotations

import array
import fcntl
import json
import os
import select
import shlex
import signal
import socket
import subprocess
import sys
import termios
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

import edge_fer
from edge_fer.cli.app import app
from edge_fer.inference.model_store import packaged_folder
from tests.publish.recording.films import times

COMMAND = [sys.executable, "-m", "edge_fer"]
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("EDGE_FER_")}
PATIENCE_S = 60


def edge_fer_cli(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env={**ENVIRONMENT, **variables},
        check=False,
    )


def start(*arguments: str, stdout: int = subprocess.PIPE, **environment: str) -> subprocess.Popen[str]:
    environment = {**ENVIRONMENT, **environment}
    return subprocess.Popen(
        [*COMMAND, *arguments], stdout=stdout, stderr=subprocess.PIPE, text=True, env=environment, bufsize=1
    )


def failed_with(result: subprocess.CompletedProcess[str], exit_code: int, *words: str) -> None:
    """Check that a command ended with a documented exit code and one line that says why."""
    assert result.returncode == exit_code, result.stderr
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("edge-fer: ")
    for word in words:
        assert word in lines[0]


def test_the_version_is_the_packages() -> None:
    assert edge_fer_cli("--version").stdout == f"edge-fer {edge_fer.__version__}\n"


def test_help_names_every_command() -> None:
    text = edge_fer_cli("--help").stdout
    for command in ("run", "bench", "config", "models", "lab"):
        assert f" {command} " in text


@pytest.mark.slow
def test_config_can_be_shown_saved_and_used(tmp_path: Path) -> None:
    shown = edge_fer_cli("config", "show", EDGE_FER_DETECT__MIN_FACE="77").stdout
    assert yaml.safe_load(shown)["detect"]["min_face"] == 77
    path = tmp_path / "edge-fer.yaml"
    path.write_text(shown)
    again = edge_fer_cli("config", "show", "--config", str(path)).stdout
    assert again == shown


def test_the_schema_is_a_json_schema() -> None:
    schema = json.loads(edge_fer_cli("config", "schema").stdout)
    assert "capture" in schema["properties"]


def test_the_schema_of_records_is_documented() -> None:
    schema = json.loads(edge_fer_cli("config", "schema", "--records").stdout)
    assert set(schema) == {"edge-fer/reading/1", "edge-fer/status/1", "edge-fer/track/1", "edge-fer/face/1"}


@pytest.mark.slow
def test_models_are_listed_and_verified() -> None:
    listed = edge_fer_cli("models", "list").stdout
    verified = edge_fer_cli("models", "verify")
    assert verified.returncode == 0
    for name in ("mtcnn_pnet", "mtcnn_rnet", "mtcnn_onet", "se_resnet50"):
        assert name in listed
        assert f"{name}" in verified.stdout


def test_a_run_prints_json_lines_when_piped_and_records(tmp_path: Path) -> None:
    recording = tmp_path / "out.mp4"
    result = edge_fer_cli("run", "--camera", "sample", "--max-frames", "5", "--record", str(recording))
    assert result.returncode == 0
    assert result.stderr == ""
    records = [json.loads(line) for line in result.stdout.splitlines()]
    readings = [record for record in records if record["schema"] == "edge-fer/reading/1"]
    assert [reading["frame"] for reading in readings] == [0, 1, 2, 3, 4]
    assert all(len(reading["faces"]) == 1 for reading in readings)
    assert times(recording) == pytest.approx([frame / 30 for frame in range(5)], abs=0.0011)


@pytest.mark.slow
def test_text_can_be_asked_for() -> None:
    result = edge_fer_cli("run", "--camera", "sample", "--max-frames", "2", "--format", "text", "--clahe", "on")
    assert result.returncode == 0
    reading, left, why, summary, stages = result.stdout.splitlines()[-5:]
    assert "FPS" in reading
    assert left == "[1] was in view for 0.0 s: happiness 100%"
    assert why == "2 frames read"
    assert summary == "2 frames, 0 dropped, 1 face: 2 happiness"
    assert "enhance" in stages


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("/dev/video97", ("expected a camera at /dev/video97", "plug it in")),
        ("97", ("expected a camera at /dev/video97",)),
        ("/no/such/file.mp4", ("found no file '/no/such/file.mp4'",)),
        ("http://127.0.0.1:1/none", ("127.0.0.1:1/none", "check the address")),
    ],
)
def test_a_missing_source_ends_with_3(source: str, words: tuple[str, ...]) -> None:
    failed_with(edge_fer_cli("run", "--camera", source), 3, *words)


@pytest.mark.slow
def test_a_broken_picture_and_a_broken_video_end_with_3(tmp_path: Path) -> None:
    for name in ("broken.jpg", "broken.mp4"):
        path = tmp_path / name
        path.write_bytes(b"not a picture" * 100)
        failed_with(edge_fer_cli("run", "--camera", str(path)), 3, name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("detect: {min_fase: 30}", ("did you mean `detect.min_face`",)),
        ("detect: {min_face: [", ("line 1",)),
        ("classify: {backend: tpu}", ("`classify.backend`", "'tpu'")),
    ],
)
def test_bad_settings_end_with_2(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    path = tmp_path / "edge-fer.yaml"
    path.write_text(text)
    failed_with(edge_fer_cli("run", "--config", str(path)), 2, *words)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("run --source sample", "--source, did you mean --camera?"),
        ("run sample", "did you mean --camera sample?"),
        ("bench a.mp4 b.mp4", "did you mean --camera a.mp4?"),
        ("run --cameras 0", "--camera"),
        ("models list sample", "unexpected extra argument"),
    ],
)
def test_a_source_that_is_named_otherwise_is_told_the_option(line: str, said: str) -> None:
    result = CliRunner().invoke(app, line.split(), prog_name="edge-fer")
    assert result.exit_code == 2
    assert said in result.output
    assert ("camera" in result.output) == ("models" not in line)


@pytest.mark.parametrize("line", ["run", "config schema", "lab", "lab faces", ""])
def test_a_flag_is_shown_without_a_value(line: str) -> None:
    text = CliRunner().invoke(app, [*line.split(), "--help"], prog_name="edge-fer").output
    assert "--help " in text
    assert "bool" not in text


def test_an_unknown_command_ends_with_2() -> None:
    assert edge_fer_cli("fly").returncode == 2


@pytest.mark.slow
def test_a_corrupt_model_ends_with_4(tmp_path: Path) -> None:
    """`run` says so before it opens a camera, and `verify` goes through all of them."""
    for file in packaged_folder().iterdir():
        content = file.read_bytes()
        (tmp_path / file.name).write_bytes(content[:-1] if file.name == "mtcnn_onet.tflite" else content)
    failed_with(
        edge_fer_cli("run", "--camera", "sample", EDGE_FER_MODELS=str(tmp_path)), 4, "mtcnn_onet.tflite", "sha256"
    )
    verified = edge_fer_cli("models", "verify", EDGE_FER_MODELS=str(tmp_path))
    failed_with(verified, 4, "mtcnn_onet")
    assert "se_resnet50      ok" in verified.stdout


@pytest.mark.slow
def test_a_recording_without_permission_ends_with_6(tmp_path: Path) -> None:
    failed_with(edge_fer_cli("run", "--camera", "sample", "--record", "/proc/out.mp4"), 6, "/proc/out.mp4")


@pytest.mark.slow
def test_a_closed_pipe_is_an_end_and_not_a_fault() -> None:
    process = start("run", "--camera", "sample")
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline()
    process.stdout.close()
    said = process.stderr.read()
    assert process.wait(PATIENCE_S) == 0
    assert "closed by its reader" in said
    assert len(said.splitlines()) == 1
    process.stderr.close()


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_a_signal_ends_the_run_cleanly(tmp_path: Path, number: signal.Signals, exit_code: int) -> None:
    recording = tmp_path / "out.mp4"
    process = start("run", "--camera", "sample", "--realtime", "--record", str(recording))
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line).get("frame", 0) >= 3:
            break
    process.send_signal(number)
    rest, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == exit_code
    assert said == ""
    assert json.loads(rest.splitlines()[-1])["state"] == "stopping"
    assert len(times(recording)) >= 3


@pytest.mark.slow
def test_a_signal_ends_a_wait_for_a_camera_that_hangs() -> None:
    """A server that accepts and never answers blocks the camera's open call; stopping must not."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/stream"
        process = start("run", "--camera", url, EDGE_FER_CAPTURE__OPEN_TIMEOUT_S=str(2 * PATIENCE_S))
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["state"] == "starting"
        connection, _ = server.accept()
        with connection:
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, said


@pytest.mark.slow
def test_a_reader_that_stalls_does_not_keep_a_run_from_stopping() -> None:
    process = start("run", "--camera", "sample", "--backend", "fake")
    assert process.stdout is not None
    held = [0]
    while held[-10:] != [held[-1]] * 10 or held[-1] == 0:  # until the pipe has taken nothing more for a while
        assert len(held) < 20 * PATIENCE_S, "the pipe never filled up"
        select.select([], [], [], 0.05)
        held.append(unread(process.stdout.fileno()))
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0
    assert process.communicate()[1] == ""


def unread(pipe: int) -> int:
    """How many bytes lie in a pipe."""
    waiting = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, waiting)
    return waiting[0]


@pytest.mark.slow
def test_standard_output_that_is_full_or_closed_ends_with_6() -> None:
    for arguments in (("run", "--camera", "sample", "--format", "text"), ("config", "show"), ("--help",)):
        with Path("/dev/full").open("w") as full:
            process = start(*arguments, stdout=full.fileno())
            assert process.wait(PATIENCE_S) == 6
            assert process.stderr is not None
            assert "No space left" in process.stderr.read()
            process.stderr.close()
    command = f"{shlex.join([*COMMAND, 'run', '--camera', 'sample'])} >&-"
    result = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    failed_with(result, 6, "expected to write to standard output")


@pytest.mark.slow
@pytest.mark.parametrize("stdout", ["full", "closed", "gone"])
def test_standard_output_that_fails_does_not_end_a_run_that_keeps_going(tmp_path: Path, stdout: str) -> None:
    """It is told in the log, once, and every reading reaches the other sinks."""
    readings = tmp_path / "readings.jsonl"
    reader, writer = os.pipe()
    os.close(reader)
    target = {"full": ">/dev/full", "closed": ">&-", "gone": f">/proc/self/fd/{writer}"}[stdout]
    command = shlex.join([*COMMAND, "run", "--camera", "sample", "--max-frames", "20"])
    environment = {"EDGE_FER_PUBLISH__KEEP_GOING": "true", "EDGE_FER_PUBLISH__FILE__PATH": str(readings)}
    result = subprocess.run(
        f"{command} {target}", shell=True, stderr=subprocess.PIPE, text=True, timeout=PATIENCE_S, check=False,
        env=os.environ | environment, pass_fds=(writer,),
    )  # fmt: skip
    os.close(writer)
    assert result.returncode == 0
    assert result.stderr.count("sink stdout failed, and is tried again: ") == 1
    assert "Traceback" not in result.stderr
    records = [json.loads(line) for line in readings.read_text().splitlines()]
    assert [record["frame"] for record in records if "frame" in record] == list(range(20))
    assert records[-1]["sinks"]["stdout"]["state"] == "failed"


def test_a_recording_onto_the_source_is_refused(tmp_path: Path) -> None:
    clip = tmp_path / "a.mp4"
    clip.write_bytes(b"precious")
    failed_with(edge_fer_cli("run", "--camera", str(clip), "--record", str(clip)), 2, "is the source itself")
    assert clip.read_bytes() == b"precious"


def test_importing_the_package_is_cheap() -> None:
    """Nothing heavy is loaded; the time itself is measured by a command, not by a test."""
    code = "import sys, edge_fer; print(sorted({'numpy', 'cv2', 'pydantic', 'ai_edge_litert'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.slow
def test_the_name_of_a_file_does_not_steer_the_terminal(tmp_path: Path) -> None:
    name = str(tmp_path / "a\x1b]0;title\x07\x9b31m")
    for arguments in (("run", "--camera", name), ("run", "--config", name), ("models", "list", "--models", name),
                      ("run", "--camera", "sample", "--record", f"{name}/a.mp4")):  # fmt: skip
        said = edge_fer_cli(*arguments).stderr
        assert "x1b]0;title" in said
        assert said.strip().isprintable()

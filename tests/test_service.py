"""The command line as a service: a real process, real signals, systemd's end of the socket played by the test."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from edge_fer.service import Service
from edge_fer.settings import Settings
from edge_fer.settings.fingerprint import fingerprint
from tests.support.brokers import Broker, Reader, closing_all, free_port, need_mosquitto
from tests.support.waiting import wait_until

PATIENCE_S = 30.0


class Box:
    """A service that runs, and what it has told systemd and standard output."""

    def __init__(self, folder: Path, config: str, **environment: str) -> None:
        self.config = folder / "config.yaml"
        self.config.write_text(config)
        self._manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._manager.bind(str(folder / "notify"))
        self.told: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "edge_fer", "run", "--config", str(self.config), "--log-format", "journal"],
            env=os.environ | {"NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "400000"} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for(self, what: Callable[[str], bool]) -> str:
        """The first line to systemd from here on that is meant."""
        end = time.monotonic() + PATIENCE_S
        while True:
            assert select.select([self._manager], [], [], max(0.0, end - time.monotonic()))[0], self.told
            lines = self._manager.recv(4096).decode().splitlines()
            self.told += lines
            found = next(filter(what, lines), None)
            if found is not None:
                return found

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        """Send a signal; exit code, standard output and standard error."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, out, err

    def close(self) -> None:
        self._manager.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Box]]:
    boxes: list[Box] = []

    def begin(config: str, **environment: str) -> Box:
        boxes.append(Box(tmp_path, config, **environment))
        return boxes[-1]

    yield begin
    for box in boxes:
        box.close()


SERVICE = "capture: {source: %s, realtime: true, wait: true}\npublish: {format: none, keep_going: true}\n"


def ready(line: str) -> bool:
    return line == "READY=1"


def test_a_service_is_ready_feeds_its_watchdog_and_stops(start: Callable[..., Box]) -> None:
    box = start(SERVICE % "sample")
    box.wait_for(ready)
    box.wait_for(lambda line: line.startswith("STATUS=") and "FPS on cpu" in line)
    box.wait_for(lambda line: line == "WATCHDOG=1")
    code, out, err = box.end()
    box.wait_for(lambda line: line == "STOPPING=1")
    assert (code, out) == (0, "")
    assert "<6>running: reading sample" in err
    assert err.splitlines()[-1] == "<6>stopping: asked to stop"


@pytest.mark.slow
def test_a_service_without_its_camera_is_ready_and_waits(start: Callable[..., Box], tmp_path: Path) -> None:
    box = start(SERVICE % "/dev/video99")
    box.wait_for(ready)
    assert box.wait_for(lambda line: line.startswith("STATUS=waiting_for_camera"))
    for _ in range(3):
        box.wait_for(lambda line: line == "WATCHDOG=1")
    assert box.end()[0] == 0


@pytest.mark.slow
def test_a_service_reads_its_settings_again_and_keeps_the_old_ones_when_they_are_bad(start: Callable[..., Box]) -> None:
    box = start((SERVICE % "sample").replace("none", "json") + "device: before\n")
    box.wait_for(ready)
    box.config.write_text("capture: {sauce: sample}\n")
    box.process.send_signal(signal.SIGHUP)
    box.wait_for(lambda line: line == "RELOADING=1")
    box.wait_for(ready)
    box.config.write_text((SERVICE % "sample").replace("none", "json") + "device: after\nmodels: /no/such/folder\n")
    box.process.send_signal(signal.SIGHUP)
    box.wait_for(ready)
    box.wait_for(lambda line: line.startswith("STATUS=") and "FPS" in line)
    box.config.write_text((SERVICE % "sample").replace("none", "json") + "device: after\n")
    box.process.send_signal(signal.SIGHUP)
    box.wait_for(lambda line: line == "RELOADING=1")
    box.wait_for(ready)
    code, out, err = box.end()
    records: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [record["device"] for record in records if record.get("state") == "starting"] == [
        "before",
        "before",
        "after",
    ]
    messages = [record["message"] for record in records if "message" in record]
    assert any("unknown setting `capture.sauce`, did you mean `capture.source`?" in message for message in messages)
    assert any("the new settings do not work, the old ones are kept" in message for message in messages)
    assert f"<4>the settings are not read again, the old ones are kept: {box.config}: unknown setting" in err
    assert len({record["run"] for record in records}) == 3


@pytest.mark.slow
def test_a_reload_with_the_same_settings_changes_nothing(start: Callable[..., Box]) -> None:
    box = start((SERVICE % "sample").replace("none", "json"))
    box.wait_for(ready)
    box.process.send_signal(signal.SIGHUP)
    box.wait_for(lambda line: line == "RELOADING=1")
    box.wait_for(ready)
    box.wait_for(lambda line: line.startswith("STATUS=") and "FPS" in line)
    code, out, err = box.end()
    records: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert len({record["run"] for record in records}) == 1
    frames = [record["frame"] for record in records if "frame" in record]
    assert frames == sorted(frames)
    assert "<6>the settings were read again, and nothing has changed" in err
    assert "the old ones are kept" not in err


@pytest.mark.slow
def test_a_reload_takes_along_what_the_broker_has_not_got_yet(start: Callable[..., Box], tmp_path: Path) -> None:
    need_mosquitto()
    with ExitStack() as stack:
        broker = Broker(tmp_path)
        stack.enter_context(closing_all(broker))
        reader = Reader(broker.port, "edge-fer/#", tmp_path, session="reader")
        wait_until(lambda: "Sending SUBACK" in broker.log)
        reader.close()
        broker.kill()
        mqtt = f"{{host: 127.0.0.1, port: {broker.port}, prefix: edge-fer, retry_max_s: 0.2}}"
        kept = tmp_path / "kept.jsonl"
        publish = f"publish: {{format: none, keep_going: true, file: {{path: {kept}}}, mqtt: {mqtt}}}\n"
        service = f"capture: {{source: sample, realtime: true, loop: true}}\n{publish}device: "
        box = start(service + "before\n")
        box.wait_for(ready)
        for device in ("between", "after"):
            box.wait_for(lambda line: line.startswith("STATUS=") and "FPS" in line)
            box.config.write_text(service + device)
            box.process.send_signal(signal.SIGHUP)
            box.wait_for(ready)
        broker.start()
        wait_until(lambda: "New client connected" in broker.log.rpartition("mosquitto version")[2])
        code, _, err = box.end()
        reader = Reader(broker.port, "edge-fer/#", tmp_path, session="reader")
        stack.enter_context(closing_all(reader))
        readings = [line for line in kept.read_text().splitlines() if '"edge-fer/reading' in line]
        wait_until(lambda: len(set(reader.payloads("edge-fer/reading"))) == len(readings))
    assert code == 0
    assert {json.loads(line)["device"] for line in readings} == {"before", "between", "after"}
    assert list(dict.fromkeys(reader.payloads("edge-fer/reading"))) == readings
    assert "records were lost" not in err


@pytest.mark.slow
def test_a_run_that_lost_records_says_so_in_its_last_line(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "edge_fer", "run", "--camera", "sample", "--max-frames", "5"],
        env=os.environ
        | {"EDGE_FER_PUBLISH__MQTT__HOST": "127.0.0.1", "EDGE_FER_PUBLISH__MQTT__PORT": str(free_port())},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ended.returncode == 0
    records = len(ended.stdout.splitlines())
    assert ended.stderr.splitlines()[-1].endswith(f"records were lost, by sink: mqtt {records}")


@pytest.mark.slow
@pytest.mark.parametrize("what", ["folder", "token"])
def test_a_reload_leaves_the_run_alone_where_a_sink_could_not_be_opened_again(
    start: Callable[..., Box], tmp_path: Path, what: str
) -> None:
    """A token that others may read is refused; a folder that is gone is told by its sink, which comes back."""
    folder, token = tmp_path / "readings", tmp_path / "token"
    folder.mkdir()
    token.write_text("a token of more than sixteen letters\n")
    token.chmod(0o600)
    lines = {
        "folder": f"  file: {{path: {folder}/a.jsonl}}\n",
        "token": f"  http: {{enabled: true, port: {free_port()}, token_file: {token}}}\n",
    }
    service = (SERVICE % "sample").replace("{format: none, keep_going: true}", "\n  format: json\n  keep_going: true")
    box = start(service + lines[what])
    box.wait_for(ready)
    token.chmod(0o644)
    shutil.rmtree(folder)
    box.process.send_signal(signal.SIGHUP)
    box.wait_for(lambda line: line == "RELOADING=1")
    box.wait_for(ready)
    box.wait_for(lambda line: line.startswith("STATUS=") and "FPS" in line)
    code, out, err = box.end()
    assert code == 0
    assert len({json.loads(line)["run"] for line in out.splitlines()}) == 1
    words = {"folder": "<6>the settings were read again, and nothing has changed",
             "token": "<4>the settings are not read again, the old ones are kept: expected"}  # fmt: skip
    assert words[what] in err


@pytest.mark.slow
def test_settings_from_a_pipe_are_read_once_and_not_again(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"device: from-a-pipe\ncapture: {source: sample, realtime: true}\n")
    os.close(writer)
    command = [sys.executable, "-m", "edge_fer", "run", "--config", f"/dev/fd/{reader}"]
    with subprocess.Popen(
        command, pass_fds=[reader], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        os.close(reader)
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["device"] == "from-a-pipe"
        process.send_signal(signal.SIGHUP)
        said = next(line for line in process.stdout if "the old ones are kept" in line)
        process.terminate()
        process.communicate(timeout=PATIENCE_S)
    assert "found a pipe that has been read to its end; name a file" in said
    assert process.returncode == 0


@pytest.mark.slow
def test_new_settings_whose_source_is_not_there_give_way_to_the_old_ones(start: Callable[..., Box]) -> None:
    box = start((SERVICE % "sample").replace("none", "json") + "device: before\n")
    box.wait_for(ready)
    there = (SERVICE % "no_such.mp4").replace("none", "json").replace("wait: true", "wait: false")
    box.config.write_text(there + "device: after\n")
    box.process.send_signal(signal.SIGHUP)
    box.wait_for(lambda line: line == "RELOADING=1")
    box.wait_for(lambda line: line.startswith("STATUS=") and "the old ones are kept" in line)
    box.wait_for(lambda line: line.startswith("STATUS=") and "FPS" in line)
    code, out, err = box.end()
    assert code == 0
    starting = [json.loads(line)["device"] for line in out.splitlines() if '"state":"starting"' in line]
    assert starting == ["before", "after", "before"]
    assert "<3>the new settings do not work, the old ones are kept: expected a camera index" in err


def test_signals_do_not_wait_for_each_other() -> None:
    """Python runs their handlers in the thread that holds the event's lock, whatever it is doing."""
    service = Service(Settings(), Settings, lambda *_: ())
    held: list[bool] = []

    class Interrupted(threading.Event):
        def set(self) -> None:
            held.append(signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, ()))
            if not held[-1]:
                service._end(signal.SIGTERM, None)
            super().set()

    service._stopping = Interrupted()
    service._reload()
    service._end(signal.SIGINT, None)
    assert held == [True, False]
    assert service._ended_by == signal.SIGINT


def test_settings_that_are_the_same_do_not_end_the_run() -> None:
    loaded = iter((Settings(), Settings(device="another")))
    service = Service(Settings(), lambda: next(loaded), lambda *_: ())
    service._made_from = fingerprint(Settings())
    service._reload()
    assert not service._stopping.is_set()
    service._reload()
    assert service._stopping.is_set()


@pytest.mark.slow
def test_closed_standard_streams_are_no_places_for_other_files(tmp_path: Path) -> None:
    path = tmp_path / "readings.jsonl"
    python = shlex.quote(sys.executable)
    command = f"{python} -m edge_fer run --camera sample --max-frames 2 --format none <&- 2>&-"
    environment = os.environ | {"EDGE_FER_PUBLISH__FILE__PATH": str(path)}
    ended = subprocess.run(command, shell=True, env=environment, timeout=PATIENCE_S, check=False)
    assert ended.returncode == 0
    assert [json.loads(line)["schema"] for line in path.read_text().splitlines()]
    command = f"{python} -m edge_fer run --camera - <&-"
    environment |= {"EDGE_FER_CAPTURE__RAW__WIDTH": "64", "EDGE_FER_CAPTURE__RAW__HEIGHT": "48"}
    ended = subprocess.run(command, shell=True, env=environment, timeout=PATIENCE_S, check=False, capture_output=True)
    assert ended.returncode == 3
    assert b"expected frames on standard input, found its end" in ended.stderr


@pytest.mark.slow
def test_what_ends_a_run_has_the_form_and_the_priority_of_the_log() -> None:
    for form, begin in (("journal", "<3>expected a camera"), ("json", '{"at": '), ("text", "edge-fer: expected a cam")):
        command = ["run", "--camera", "/dev/video99", "--format", "none", "--log-format", form]
        ended = subprocess.run(
            [sys.executable, "-m", "edge_fer", *command],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert ended.returncode == 3
        assert ended.stderr.splitlines()[-1].startswith(begin)


@pytest.mark.slow
def test_a_foreground_run_ends_when_its_only_sink_fails(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    ended = subprocess.run(
        [sys.executable, "-m", "edge_fer", "run", "--camera", "sample", "--format", "none"],
        env=os.environ | {"EDGE_FER_PUBLISH__FILE__PATH": str(folder / "readings.jsonl")},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ended.returncode == 6
    assert ended.stderr.splitlines()[-1].startswith("edge-fer: expected to write readings to ")


@pytest.mark.slow
def test_config_check_names_what_does_not_work(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edge_fer", "config", "check"]
    for name, path, code, line in (
        ("FILE__PATH", tmp_path / "of-the-service.jsonl", 0, "file ok"),
        ("FILE__PATH", tmp_path / "gone" / "readings.jsonl", 6, "file expected to write readings to "),
        ("RECORD", tmp_path / "a.mp4", 0, "recording ok"),
        ("RECORD", tmp_path / "gone" / "a.mp4", 6, "recording expected to write the recording "),
    ):
        ended = subprocess.run(
            command,
            env=os.environ | {f"EDGE_FER_PUBLISH__{name}": str(path)},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert ended.returncode == code
        assert ended.stdout.splitlines()[0] == "settings ok"
        assert ended.stdout.splitlines()[1].startswith(line)
    assert not list(tmp_path.iterdir()), "the service's user could not write what root has made"


def on_a_terminal(*words: str, before: Callable[[], object] = lambda: None) -> tuple[subprocess.Popen[bytes], int]:
    """A run with a controlling terminal of its own, and the terminal's other end."""
    ours, its = pty.openpty()

    def become_leader() -> None:
        os.setsid()
        fcntl.ioctl(its, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests themselves may run under nohup
        before()

    command = [sys.executable, "-m", "edge_fer", "run", "--camera", "synthetic:1", *words]
    environment = os.environ | {"EDGE_FER_CAPTURE__LOOP": "true", "EDGE_FER_CAPTURE__REALTIME": "true"}
    process = subprocess.Popen(
        command,
        stdin=its,
        stdout=its,
        stderr=its,
        env=environment,
        preexec_fn=become_leader,  # noqa: PLW1509  the function takes no lock
    )
    os.close(its)
    return process, ours


def exit_code(process: subprocess.Popen[bytes]) -> int:
    """The exit code of a run that ends by itself; one that does not is killed."""
    try:
        return process.wait(PATIENCE_S)
    finally:
        process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("form", ["none", "text"])
def test_a_terminal_that_is_closed_ends_what_was_started_on_it(form: str) -> None:
    process, ours = on_a_terminal("--format", form)
    while b"synthetic" not in os.read(ours, 4096):
        pass
    os.close(ours)
    assert exit_code(process) == 0


@pytest.mark.slow
def test_a_run_that_shall_outlive_its_terminal_does(tmp_path: Path) -> None:
    process, ours = on_a_terminal(
        "--format", "none", "--duration", "3", before=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)
    )
    while b"synthetic" not in os.read(ours, 4096):
        pass
    began = time.monotonic()
    os.close(ours)
    assert exit_code(process) == 0
    assert time.monotonic() - began > 1


@pytest.mark.parametrize(("terminal", "goes_on"), [([], True), ([True, True], True), ([True, False], False)])
def test_what_a_hang_up_means(terminal: list[bool], goes_on: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    there = iter(terminal)
    monkeypatch.setattr("edge_fer.common.terminal._has_terminal", lambda: next(there, False))
    monkeypatch.setattr(signal, "getsignal", lambda _: signal.SIG_DFL)  # the tests themselves may run under nohup
    service = Service(Settings(), Settings, lambda *_: ())
    service._hang_up(signal.SIGHUP, None)
    assert service._hung_up == goes_on
    assert service._stopping.is_set() != goes_on


BEGINNING = """
import os, signal, sys
from edge_fer.__main__ import main
class Finder:
    def find_spec(self, name, *_):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGTERM)
sys.meta_path.insert(0, Finder())
sys.argv = ["edge-fer", "run", "--camera", "sample", "--max-frames", "1"]
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("module", ["edge_fer.cli.app", "cv2", "edge_fer.service", "ai_edge_litert.interpreter"])
def test_sigterm_before_the_run_has_begun_is_an_end_like_any_other(module: str) -> None:
    command = [sys.executable, "-c", BEGINNING.format(module=module)]
    ended = subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=False, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "edge-fer/reading" not in ended.stdout

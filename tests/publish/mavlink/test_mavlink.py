"""The sink before pymavlink's own connection, over UDP and over a serial line."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_fer.errors import OutputError
from edge_fer.publish.configured import configured_sinks
from edge_fer.publish.mavlink import tunnel_track
from edge_fer.publish.mavlink.computer import OnboardComputer
from edge_fer.publish.mavlink.link import Link
from edge_fer.publish.mavlink.open_link import open_link
from edge_fer.publish.mavlink.sink import Mavlink
from edge_fer.publish.mavlink.tunnel import PAYLOAD_TYPE, decode
from edge_fer.publish.sink_queue import SinkQueue
from edge_fer.schema import Record, SinkStatus
from edge_fer.settings import MavlinkSettings, load_settings
from edge_fer.types import Box
from tests.support import ROOT
from tests.support.mavlink_peer import SYSTEM, Cable, Peer, crowd, free_port, peer
from tests.support.records import make_reading, make_status, make_track
from tests.support.waiting import wait_until

HOST = "127.0.0.1"
DOCUMENT = ROOT / "docs" / "mavlink.md"
TIMES = {"retry_s": 0.05, "retry_max_s": 0.1}


@pytest.fixture
def cable(tmp_path: Path) -> Iterator[Cable]:
    cable = Cable(tmp_path)
    cable.plug()
    yield cable
    cable.unplug()


def settings_of(url: str, **changes: Any) -> MavlinkSettings:
    return MavlinkSettings(url=url, system_id=SYSTEM, **{**TIMES, **changes})


def sink_of(url: str, **changes: Any) -> Mavlink:
    return Mavlink(settings_of(url, **changes))


def serial(path: Path) -> str:
    return f"serial:{path}:57600"


def read_all(ground: Peer, sink: Mavlink) -> None:
    """Every kind of message has every field that it should."""
    heartbeat = ground.receive("HEARTBEAT")
    assert (heartbeat.get_srcSystem(), heartbeat.get_srcComponent()) == (SYSTEM, 191)
    assert (heartbeat.autopilot, heartbeat.base_mode, heartbeat.custom_mode, heartbeat.mavlink_version) == (8, 0, 0, 3)
    assert heartbeat.get_msgbuf()[0] == 0xFD, "MAVLink 2"

    reading = replace(crowd(77, faces=2), degraded=True, reason="the Edge TPU is away")
    sink.publish(reading, None)
    assert decode(ground.receive("TUNNEL").payload).id == 100
    tunnel = ground.receive("TUNNEL")
    assert (tunnel.target_system, tunnel.target_component, tunnel.payload_type) == (0, 0, PAYLOAD_TYPE)
    face = decode(tunnel.payload[: tunnel.payload_length])
    assert (face.run, face.frame, face.faces, face.size) == (zlib.crc32(b"3f0c"), 77, 2, (640, 360))
    assert (face.box, face.label, face.why) == (Box(60, 50, 41, 48), "happiness", None)
    assert face.confidence == pytest.approx(0.93, abs=0.5 / 255)
    assert face.score == pytest.approx(0.998, abs=0.5 / 255)
    assert face.probabilities == pytest.approx(reading.faces[1].probabilities, abs=0.5 / 255)
    assert face.degraded
    assert face.clock_synced
    assert face.captured_us == 1_795_292_629_123_000
    assert face.age_ms < 1000
    assert face.label_age_ms is not None
    assert abs(face.label_age_ms - face.age_ms) <= 1

    shown = {}
    while len(shown) < 3:
        message = ground.receive("NAMED_VALUE_FLOAT")
        shown[message.name] = message.value
        assert message.time_boot_ms == reading.captured_ns // 10**6 % 2**32
    assert shown == pytest.approx({"fer_faces": 2, "fer_label": 3, "fer_conf": 0.93})

    text = ground.receive("STATUSTEXT")
    assert (text.severity, text.text, text.id) == (4, "FER degraded: the Edge TPU is away", 0)
    sink.publish(make_status("waiting_for_camera", "no frame from /dev/video0 for 5 s; trying again"), None)
    pieces = [ground.receive("STATUSTEXT") for _ in range(2)]
    assert "".join(p.text for p in pieces) == "FER camera lost: no frame from /dev/video0 for 5 s; trying again"
    assert [(p.severity, p.chunk_seq, p.id == pieces[0].id != 0) for p in pieces] == [(3, 0, True), (3, 1, True)]


def test_what_was_seen_of_the_last_faces_is_told_as_the_run_ends() -> None:
    """As far as the budget goes: with what a run says last, the sink is closed at once."""
    port = free_port()
    with peer(f"udpin:{HOST}:{port}") as ground:
        sink = sink_of(f"udpout:{HOST}:{port}", bytes_per_s=10_000)
        assert ground.receive("HEARTBEAT")
        wait_until(lambda: sink.condition.state == "ok")
        sink.publish(make_track(7), None)
        sink.close()
        told = ground.receive("TUNNEL")
        assert told.payload_type == tunnel_track.PAYLOAD_TYPE
        assert tunnel_track.decode(told.payload).id == 7


def test_a_peer_over_udp_reads_every_field() -> None:
    port = free_port()
    with (
        peer(f"udpin:{HOST}:{port}") as ground,
        closing(sink_of(f"udpout:{HOST}:{port}", computer_s=1)) as sink,
    ):
        wait_until(lambda: sink.condition.state == "ok")
        read_all(ground, sink)
        box = ground.receive("ONBOARD_COMPUTER_STATUS")
        assert 0 <= box.cpu_cores[0] <= 100
        assert 0 < box.ram_usage < box.ram_total
        assert abs(box.time_usec - time.monotonic_ns() // 1000) < 10_000_000
        assert box.uptime == box.time_usec // 1000


def test_without_a_label_there_is_no_confidence() -> None:
    port = free_port()
    with peer(f"udpin:{HOST}:{port}") as ground, closing(sink_of(f"udpout:{HOST}:{port}")) as sink:
        ground.receive("HEARTBEAT")
        sink.publish(crowd(1, faces=2, captured_ns=2**32 * 10**6 + 7_999_999, label=None), None)
        shown = [ground.receive("NAMED_VALUE_FLOAT") for _ in range(3)]
    assert [(m.name, m.value, m.time_boot_ms) for m in shown] == [
        ("fer_faces", 2, 7),
        ("fer_label", -1, 7),
        ("fer_conf", 0, 7),
    ]


HEALTHY = replace(make_status(), sinks={"mqtt": SinkStatus()})
UNHEALTHY = replace(make_status(), sinks={"mqtt": SinkStatus("failed", reason="WHY")})


@pytest.mark.parametrize(
    ("fault", "severity", "record", "well"),
    [
        ("camera lost", 3, make_status("waiting_for_camera", "WHY"), make_reading()),
        ("degraded", 4, replace(make_reading(), degraded=True, reason="WHY"), make_reading()),
        ("mqtt failed", 4, UNHEALTHY, HEALTHY),
    ],
)
def test_faults_and_their_end_are_told_in_the_documented_words(
    fault: str, severity: int, record: Record, well: Record
) -> None:
    port, table = free_port(), DOCUMENT.read_text().replace("SINK", "mqtt")
    sink = Mavlink(settings_of(f"udpout:{HOST}:{port}"), fault_interval_s=0.05)
    with peer(f"udpin:{HOST}:{port}") as ground, closing(sink):
        ground.receive("HEARTBEAT")
        for told, text, level in ((record, f"FER {fault}: WHY", severity), (well, f"FER {fault}: well again", 5)):
            sink.publish(told, None)
            heard = ground.receive("STATUSTEXT")
            assert (heard.text, heard.severity) == (text, level)
            assert f"| `{text}` | {level} (" in table


def test_a_peer_over_a_serial_line_reads_every_field(cable: Cable) -> None:
    with peer(str(cable.theirs)) as ground, closing(sink_of(serial(cable.ours))) as sink:
        wait_until(lambda: sink.condition.state == "ok")
        read_all(ground, sink)
        assert ground.receive("ONBOARD_COMPUTER_STATUS").type == 0


def test_a_peer_that_speaks_first_is_answered() -> None:
    port = free_port()
    with closing(sink_of(f"udpin:{HOST}:{port}")) as sink:
        wait_until(lambda: "nobody speaks" in str(sink.condition.reason))
        assert sink.condition.state == "waiting"
        with peer(f"udpout:{HOST}:{port}") as ground:
            wait_until(lambda: sink.condition.state == "ok", ground.heartbeat)
            read_all(ground, sink)


@pytest.mark.slow
def test_the_clocks_find_each_other() -> None:
    """The peer's clock is 5000 s ahead, and it takes its time to answer, now more, now less."""
    port = free_port()
    delays = iter([0.004, 0.0, 0.012, 0.002, 0.008, 0.001] * 5)
    stop = threading.Event()
    captured: dict[int, int] = {}
    found: list[float] = []
    settings = settings_of(f"udpout:{HOST}:{port}")
    with peer(f"udpin:{HOST}:{port}") as ground, closing(Mavlink(settings)) as sink:

        def publish() -> None:
            while not stop.wait(0.03):
                number = len(captured) + 1
                captured[number] = time.monotonic_ns()
                sink.publish(crowd(number, 1, captured[number]), None)

        thread = threading.Thread(target=publish)
        thread.start()
        try:
            while len(found) < 10:
                message = ground.receive("HEARTBEAT", "TIMESYNC", "TUNNEL")
                if message.get_type() == "TIMESYNC" and message.tc1 == 0:
                    time.sleep(next(delays))
                    ground.mav.timesync_send(time.monotonic_ns() + 5000 * 10**9, message.ts1)
                elif message.get_type() == "TUNNEL":
                    face = decode(message.payload)
                    if face.fc_captured_us is not None:
                        found.append(face.fc_captured_us / 1e6 - (captured[face.frame] / 1e9 + 5000))
                elif message.get_type() == "HEARTBEAT":
                    ground.heartbeat()
        finally:
            stop.set()
            thread.join()
    assert max(map(abs, found)) <= settings.timesync_ms / 1e3 / 2, "however late the answers are"


def test_the_vehicle_s_bank_is_heard_and_nobody_else_s() -> None:
    port = free_port()
    with peer(f"udpin:{HOST}:{port}") as ground, closing(sink_of(f"udpout:{HOST}:{port}")) as sink:
        ground.receive("HEARTBEAT")  # now the peer knows where to send
        ground.mav.attitude_send(0, math.radians(-70), 0, 0, 0, 0, 0)  # of nobody yet
        ground.heartbeat()
        ground.mav.attitude_send(0, math.radians(30), 0, 0, 0, 0, 0)
        wait_until(lambda: sink.attitude.roll_deg(time.monotonic_ns()) != 0.0)
        assert sink.attitude.roll_deg(time.monotonic_ns()) == pytest.approx(30, abs=0.01)


def test_a_question_for_the_time_is_answered_at_once() -> None:
    port = free_port()
    with peer(f"udpin:{HOST}:{port}") as ground, closing(sink_of(f"udpout:{HOST}:{port}")):
        ground.receive("HEARTBEAT")
        asked = time.monotonic_ns()
        ground.mav.timesync_send(0, 123_456)
        answer = ground.receive("TIMESYNC")
        heard = time.monotonic_ns()
    assert answer.ts1 == 123_456
    assert asked <= answer.tc1 <= heard


def test_a_line_that_breaks_off_is_taken_up_again(cable: Cable) -> None:
    with closing(sink_of(serial(cable.ours))) as sink:
        with peer(str(cable.theirs)) as ground:
            wait_until(lambda: sink.condition.state == "ok")
            sink.publish(make_status("waiting_for_camera", "no camera"), None)
            assert "camera lost" in ground.receive("STATUSTEXT").text
        cable.unplug()
        wait_until(lambda: sink.condition.state == "waiting", lambda: sink.publish(crowd(1), None))
        wait_until(lambda: "no such device" in str(sink.condition.reason))
        lost = sink.condition.dropped
        sink.publish(crowd(2), None)
        assert sink.condition.dropped == lost + 1
        cable.plug()
        with peer(str(cable.theirs)) as ground:
            wait_until(lambda: sink.condition.state == "ok")
            assert sink.condition.reason is None
            sink.publish(crowd(3), None)
            assert decode(ground.receive("TUNNEL").payload).frame == 3, "and not what was seen meanwhile"
        assert sink.condition.dropped == lost + 1


def test_a_device_that_comes_later_is_waited_for(tmp_path: Path) -> None:
    cable = Cable(tmp_path)
    with closing(sink_of(serial(cable.ours))) as sink:
        wait_until(lambda: "no such device" in str(sink.condition.reason))
        assert sink.condition.state == "waiting"
        cable.plug()
        wait_until(lambda: sink.condition.state == "ok")
    cable.unplug()


@pytest.mark.slow
def test_udp_goes_on_when_nobody_listens() -> None:
    """Neither that nobody is there yet, nor that somebody has gone, is a fault of a datagram."""
    port = free_port()
    with closing(sink_of(f"udpout:{HOST}:{port}")) as sink:
        wait_until(lambda: sink.condition.state == "ok")
        for _ in range(2):
            with peer(f"udpin:{HOST}:{port}") as ground:
                ground.receive("HEARTBEAT")
            for frame in range(50):
                sink.publish(crowd(frame), None)
                assert sink.condition.state == "ok"
        assert (sink.condition.sent, sink.condition.dropped) == (100, 0)


def test_a_network_that_takes_nothing_is_waited_for_without_a_flicker() -> None:
    """The kernel refuses each datagram to the broadcast address, though the socket can be opened."""
    opened: list[str] = []

    def count(url: str) -> Link:
        opened.append(url)
        return open_link(url)

    settings = settings_of("udpout:255.255.255.255:14550", retry_s=0.01, retry_max_s=0.02)
    with closing(Mavlink(settings, opener=count)) as sink:
        found: list[SinkStatus] = []
        wait_until(lambda: len(opened) > 30, lambda: found.append(sink.condition))
    assert {condition.state for condition in found} == {"waiting"}
    assert "expected to send MAVLink to 255.255.255.255:14550" in str(found[-1].reason)


def test_what_somebody_must_mend_has_failed_and_is_tried_again(cable: Cable) -> None:
    first = sink_of(serial(cable.ours))
    wait_until(lambda: first.condition.state == "ok")
    with closing(sink_of(serial(cable.ours))) as second:
        wait_until(lambda: second.condition.state == "failed")
        assert "another program at it" in str(second.condition.reason)
        first.close()
        wait_until(lambda: second.condition.state == "ok")


def test_numbers_run_on_over_the_wire() -> None:
    port = free_port()
    with (
        peer(f"udpin:{HOST}:{port}") as ground,
        closing(sink_of(f"udpout:{HOST}:{port}", bytes_per_s=1_000_000)) as sink,
    ):
        ground.receive("HEARTBEAT")
        for frame in range(100):
            sink.publish(crowd(frame), None)
            heard = [decode(ground.receive("TUNNEL").payload) for _ in range(4)]
            assert [(face.frame, face.id) for face in heard] == [(frame, 100 + number) for number in range(4)]
        assert ground.connection.mav_loss == 0
        assert ground.connection.mav_count > 400


def test_an_unexpected_error_is_told_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    repaired = threading.Event()

    def broken(url: str) -> Link:
        if repaired.is_set():
            return open_link(url)
        raise RuntimeError("what is this?")

    with closing(Mavlink(settings_of(f"udpout:{HOST}:{free_port()}"), opener=broken)) as sink:
        wait_until(lambda: sink.condition.state == "failed")
        assert sink.condition.reason == "what is this?"
        repaired.set()
        wait_until(lambda: sink.condition.state == "ok")
    assert "failed unexpectedly" in caplog.text


def test_a_thread_that_is_stuck_is_told() -> None:
    stuck = threading.Event()

    def slow(url: str) -> Link:
        stuck.wait()
        raise OutputError("at last")

    sink = Mavlink(settings_of(f"udpout:{HOST}:{free_port()}"), opener=slow, stop_s=0.05)
    with pytest.raises(OutputError, match="found it stuck in a call"):
        sink.close()
    stuck.set()
    wait_until(lambda: not [thread for thread in threading.enumerate() if thread.name == "mavlink"])
    sink.close()


def test_a_sensor_that_is_stuck_holds_up_nobody_who_asks() -> None:
    """The loop asks for the condition, and must never wait."""
    asked, answer = threading.Event(), threading.Event()

    class Stuck(OnboardComputer):
        def fields(self, now_ns: int, throttled: Sequence[str] = ()) -> dict[str, Any]:
            asked.set()
            answer.wait()
            return super().fields(now_ns, throttled)

    settings = MavlinkSettings(url=f"udpout:{HOST}:{free_port()}")
    with closing(Mavlink(settings, computer=Stuck())) as sink:
        assert asked.wait(5)
        found: list[SinkStatus] = []
        thread = threading.Thread(target=lambda: found.append(sink.condition))
        thread.start()
        thread.join(5)
        answer.set()
        assert found, "it was held up"


def test_the_settings_open_it_behind_a_queue() -> None:
    port = free_port()
    settings = load_settings(flags={"publish.mavlink.url": f"udpout:{HOST}:{port}"})
    (sink,) = configured_sinks(settings)
    with peer(f"udpin:{HOST}:{port}") as ground, closing(SinkQueue(sink, essential=False)) as queue:
        ground.receive("HEARTBEAT")
        wait_until(lambda: queue.condition.state == "ok")
        queue.publish(make_reading(5, crowd(5).faces, time.monotonic_ns()), None)
        assert decode(ground.receive("TUNNEL").payload).frame == 5
        wait_until(lambda: queue.condition.sent == 1)
        assert queue.condition.dropped == 0


def test_the_documented_example_reads_labels() -> None:
    """In a process of its own, without the setting for MAVLink 2 that these tests have."""
    port = free_port()
    (example,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    example = "import sys; sys.stdout.reconfigure(line_buffering=True)\n" + example.replace("14550", str(port))
    environment = {name: value for name, value in os.environ.items() if name != "MAVLINK20"}
    with (
        subprocess.Popen([sys.executable, "-c", example], stdout=subprocess.PIPE, text=True, env=environment) as reader,
        closing(sink_of(f"udpout:{HOST}:{port}")) as sink,
    ):
        assert reader.stdout is not None
        lines: list[str] = []
        thread = threading.Thread(target=lambda: lines.append(reader.stdout.readline()))
        thread.start()
        frames = iter(range(10_000))
        wait_until(lambda: bool(lines), lambda: sink.publish(crowd(next(frames), 1), None))
        reader.kill()
        thread.join()
    assert re.match(r"\d+ 100 happiness 93% Box\(x=0, y=50, width=40, height=48\) \d+", lines[0])

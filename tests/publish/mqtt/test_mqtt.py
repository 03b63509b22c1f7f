"""The MQTT sink before a real mosquitto, read by `mosquitto_sub`."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client

from edge_fer.errors import ConfigError, OutputError
from edge_fer.publish.configured import configured_sinks
from edge_fer.publish.mqtt import link_error, rivals
from edge_fer.publish.mqtt.client import Connection
from edge_fer.publish.mqtt.identity import default_client_id, fitting
from edge_fer.publish.mqtt.link_error import LinkError
from edge_fer.publish.mqtt.link_times import DEFAULT_TIMES, LinkTimes
from edge_fer.publish.mqtt.rivals import Rivals
from edge_fer.publish.mqtt.sink import Mqtt, try_broker
from edge_fer.schema import SinkStatus, json_schema, to_json
from edge_fer.settings import MqttSettings, load_settings
from tests.support.brokers import Broker, Reader, Wire, closing_all, free_port, need_mosquitto, scripted
from tests.support.records import make_face_reading, make_reading, make_status, make_track
from tests.support.waiting import PATIENCE_S, wait_until

PREFIX = "edge-fer/drone-7"
READINGS = f"{PREFIX}/reading"
WINDOW = 20
CONNACK = b"\x20\x03\0\0\0"


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What is put into it is closed after the test, the last first."""
    need_mosquitto()
    with ExitStack() as stack:
        yield stack


def open_sink(
    stack: ExitStack, port: int, notice: str | None = None, times: LinkTimes = DEFAULT_TIMES, **settings: Any
) -> Mqtt:
    """A sink that tries again quickly."""
    quick = {"host": "127.0.0.1", "port": port, "retry_s": 0.05, "retry_max_s": 0.2, **settings}
    return stack.enter_context(closing(Mqtt(MqttSettings(**quick), "drone-7", notice, times=times)))


def open_broker(stack: ExitStack, folder: Path, *lines: str, persistent: bool = True) -> Broker:
    broker = Broker(folder, lines, persistent=persistent)
    stack.enter_context(closing_all(broker))
    return broker


def open_reader(stack: ExitStack, broker: Broker, folder: Path, topic: str = READINGS, **how: Any) -> Reader:
    """A reader that has subscribed."""
    subscribed = broker.log.count("Sending SUBACK")
    reader = Reader(broker.port, topic, folder, **how)
    stack.enter_context(closing_all(reader))
    wait_until(lambda: broker.log.count("Sending SUBACK") > subscribed, what="subscribed")
    return reader


def open_wire(stack: ExitStack, broker: Broker) -> Wire:
    wire = Wire(broker.port)
    stack.enter_context(closing_all(wire))
    return wire


def publish(sink: Mqtt, frames: range) -> None:
    for frame in frames:
        sink.publish(make_reading(frame, faces=(make_face_reading(),)), None)


def frames(reader: Reader) -> list[int]:
    return [json.loads(payload)["frame"] for payload in reader.payloads(READINGS)]


def wait_for(sink: Mqtt, so: Callable[[SinkStatus], bool]) -> None:
    wait_until(lambda: so(sink.condition), what=lambda: f"expected something else of {sink.condition}")


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_records_arrive_as_they_are(stack: ExitStack, tmp_path: Path, qos: int) -> None:
    broker = open_broker(stack, tmp_path)
    reader = open_reader(stack, broker, tmp_path, "#")
    sink = open_sink(stack, broker.port, qos=qos)
    reading, status = make_reading(5, faces=(make_face_reading(),)), make_status()
    sink.publish(reading, None)
    sink.publish(make_track(), None)
    sink.publish(status, None)
    wait_for(sink, lambda condition: condition.sent == 3)
    assert sink.condition == SinkStatus("ok", sent=3)
    wait_until(lambda: len(reader.payloads(f"{PREFIX}/status")) == 1)
    assert reader.payloads(READINGS) == [to_json(reading)]
    assert reader.payloads(f"{PREFIX}/track") == [to_json(make_track())]
    assert reader.payloads(f"{PREFIX}/status") == [to_json(status)]


def test_state_availability_and_notice_stand_there_for_who_comes_later(stack: ExitStack, tmp_path: Path) -> None:
    broker = open_broker(stack, tmp_path)
    sink = open_sink(stack, broker.port, notice="Faces are read here; ask Ada.")
    sink.publish(make_status(message="one"), None)
    sink.publish(make_status(message="two"), None)
    sink.publish(make_reading(), None)
    wait_for(sink, lambda condition: condition.sent == 3)
    reader = open_reader(stack, broker, tmp_path, "#")
    wait_until(lambda: len(reader.lines) == 3)
    assert all(retained for retained, _, _ in reader.lines)
    found = {topic: payload for _, topic, payload in reader.lines}
    assert found[f"{PREFIX}/availability"] == "online"
    assert found[f"{PREFIX}/privacy"] == "Faces are read here; ask Ada."
    assert json.loads(found[f"{PREFIX}/state"])["message"] == "two"


def test_a_notice_that_was_withdrawn_does_not_stand_there_any_more(stack: ExitStack, tmp_path: Path) -> None:
    broker = open_broker(stack, tmp_path)
    for notice in ("Faces are read here.", None):
        sink = open_sink(stack, broker.port, notice=notice)
        sink.publish(make_status(), None)
        wait_for(sink, lambda condition: condition.sent == 1)
        sink.close()
    reader = open_reader(stack, broker, tmp_path, "#")
    wait_until(lambda: len(reader.lines) == 2)
    assert {topic for _, topic, _ in reader.lines} == {f"{PREFIX}/availability", f"{PREFIX}/state"}


def test_each_face_has_a_topic_when_asked_for(stack: ExitStack, tmp_path: Path) -> None:
    broker = open_broker(stack, tmp_path)
    reader = open_reader(stack, broker, tmp_path, f"{PREFIX}/face/#")
    sink = open_sink(stack, broker.port, faces=True)
    reading = replace(make_reading(5, faces=(make_face_reading(),)), device="Halle Süd")
    sink.publish(reading, None)
    wait_for(sink, lambda condition: condition.sent == 1)
    wait_until(lambda: len(reader.lines) == 1)
    (payload,) = reader.payloads(f"{PREFIX}/face/7")
    content, (face,) = json.loads(payload), json.loads(to_json(reading))["faces"]
    assert content == {
        "schema": "edge-fer/face/1", "device": "Halle Süd", "run": "3f0c", "frame": 5,
        "captured_at": "2026-11-21T20:23:49.123Z", "captured_ns": 10**9, "clock_synced": True, **face,
    }  # fmt: skip
    assert payload.startswith('{"schema":"edge-fer/face/1","device":"Halle Süd",')
    assert payload[payload.index('"id"') :] in to_json(reading), "written as in the reading, byte for byte"
    schema: Any = json_schema()["edge-fer/face/1"]
    assert list(schema["properties"]) == schema["required"] == list(content)
    assert schema["properties"]["schema"]["const"] == content["schema"]
    named = re.findall(r"#/\$defs/(\w+)", json.dumps(schema))
    assert set(named) == set(schema["$defs"]), "whole, and no more than that"


@pytest.mark.parametrize(("rate", "expected"), [(10, 30), (20, 60), (45, 90), (None, 90)])
def test_the_rate_of_readings_can_be_bounded(
    stack: ExitStack, tmp_path: Path, rate: float | None, expected: int
) -> None:
    """Three seconds of a camera with 30 frames a second; statuses and tracks always go."""
    sink = open_sink(stack, open_broker(stack, tmp_path).port, max_rate_hz=rate)
    for frame in range(90):
        sink.publish(make_reading(frame, captured_ns=10**12 + frame * 10**9 // 30), None)
    sink.publish(make_status(), None)
    sink.publish(make_track(), None)
    wait_for(sink, lambda condition: condition.waiting == 0)
    assert sink.condition.sent == pytest.approx(expected + 2, abs=1)
    assert sink.condition.dropped == 0


@pytest.mark.parametrize("qos", [1, 2])
def test_a_broker_that_is_restarted_under_load_misses_nothing(stack: ExitStack, tmp_path: Path, qos: int) -> None:
    """The reader has a session, and is away: only the sink's handshakes are under way when the broker ends."""
    broker = open_broker(stack, tmp_path)
    reader = open_reader(stack, broker, tmp_path, session="reader")
    reader.close()
    sink = open_sink(stack, broker.port, qos=qos)
    wait_for(sink, lambda condition: condition.state == "ok")
    published = 0
    for _ in range(3):
        sent = sink.condition.sent
        publish(sink, range(published, published := published + 200))
        wait_for(sink, lambda condition, least=sent + 100: condition.sent >= least)
        broker.hold()
        publish(sink, range(published, published := published + 100))
        assert sink.condition.waiting > 0
        broker.kill(signal.SIGTERM)
        wait_for(sink, lambda condition: condition.state == "waiting")
        publish(sink, range(published, published := published + 20))
        broker.start()
        wait_for(sink, lambda condition: condition.waiting == 0)
    reader = open_reader(stack, broker, tmp_path, session="reader")
    wait_until(lambda: len(set(frames(reader))) == published)
    assert sink.condition == SinkStatus("ok", sent=published)
    expected = [to_json(make_reading(frame, faces=(make_face_reading(),))) for frame in range(published)]
    assert list(dict.fromkeys(reader.payloads(READINGS))) == expected
    if qos == 2:
        assert reader.payloads(READINGS) == expected


@pytest.mark.parametrize("qos", [1, 2])
def test_a_broker_that_is_killed_gets_again_what_it_had_not_acknowledged(
    stack: ExitStack, tmp_path: Path, qos: int
) -> None:
    """It keeps nothing on disk; a reader at QoS 0 has all that it passed on. The sink waits until it reads again."""
    broker = open_broker(stack, tmp_path, persistent=False)
    reader = open_reader(stack, broker, tmp_path, options=("-q", "0"))
    wire = open_wire(stack, broker)
    sink = open_sink(stack, wire.port, qos=qos, in_flight=WINDOW)
    publish(sink, range(300))
    wait_for(sink, lambda condition: condition.sent >= 100)
    broker.kill(signal.SIGKILL)
    wire.cut()
    subscribed = broker.log.count("Sending SUBACK")
    broker.start()
    wait_until(lambda: broker.log.count("Sending SUBACK") > subscribed)
    wire.mend()
    wait_for(sink, lambda condition: condition.waiting == 0)
    wait_until(lambda: len(set(frames(reader))) == 300)
    assert list(dict.fromkeys(frames(reader))) == list(range(300))
    assert len(frames(reader)) <= 300 + WINDOW


@pytest.mark.parametrize("qos", [1, 2])
def test_a_link_that_breaks_again_and_again_loses_nothing(stack: ExitStack, tmp_path: Path, qos: int) -> None:
    broker = open_broker(stack, tmp_path)
    reader = open_reader(stack, broker, tmp_path)
    wire = open_wire(stack, broker)
    sink = open_sink(stack, wire.port, qos=qos, retry_s=0.01, retry_max_s=0.01)
    wait_for(sink, lambda condition: condition.state == "ok")
    for number in range(12):
        wire.cut_after(1500 + number * 3331)
        publish(sink, range(number * 60, (number + 1) * 60))
        wait_for(sink, lambda condition: condition.waiting == 0)
    assert wire.cuts == 12
    wait_until(lambda: len(set(frames(reader))) == 720)
    assert list(dict.fromkeys(frames(reader))) == list(range(720))
    if qos == 2:
        assert len(frames(reader)) == 720


def test_what_was_forgotten_on_a_link_that_broke_at_once_is_told_on_the_next(stack: ExitStack) -> None:
    """Else whoever waits for an acknowledgement waits for ever: paho does not send again what it has forgotten."""
    takes_qos_1_at_most, remembers = b"\x20\x05\0\0\x02\x24\x01", b"\x20\x03\x01\0\0"
    with scripted(CONNACK, takes_qos_1_at_most, remembers, remembers) as port:
        connection = Connection(MqttSettings(host="127.0.0.1", port=port, qos=2), "box")
        assert not connection.open()
        connection.client.publish("a", b"b", 2)
        with pytest.raises(OutputError, match="found 1 at most"):
            connection.open()
        assert not connection.open(), "the session is there, and what was sent in it is not"
        assert connection.open()


def test_a_broker_that_does_not_forget_in_time_is_dialled_again(stack: ExitStack) -> None:
    remembers = b"\x20\x03\x01\0\0"
    with scripted(remembers, remembers, remembers, CONNACK) as port:
        connection = Connection(MqttSettings(host="127.0.0.1", port=port), "box")
        with pytest.raises(OutputError, match="to forget the last session, found it remembered"):
            connection.open()
        assert not connection.open()


def test_a_session_that_brings_nothing_is_given_up(stack: ExitStack, tmp_path: Path) -> None:
    """Mosquitto that was killed may take up an old state, and throw out whoever goes on from a newer one."""
    broker = open_broker(stack, tmp_path)
    reader = open_reader(stack, broker, tmp_path)
    wire = open_wire(stack, broker)
    sink = open_sink(stack, wire.port, qos=2, retry_s=0.01, retry_max_s=0.01)
    wait_for(sink, lambda condition: condition.state == "ok")
    wire.cut_after(300, times=8)  # enough to connect, too little for a reading
    publish(sink, range(50))
    wait_for(sink, lambda condition: condition.waiting == 0)
    answers = [line.rpartition("(")[2] for line in broker.log.splitlines() if "Sending CONNACK to edge-fer" in line]
    assert "1, 0)" in answers, "the session was taken up"
    assert answers.count("0, 0)") >= 2, "and given up for a new one"
    wait_until(lambda: len(set(frames(reader))) == 50)
    assert list(dict.fromkeys(frames(reader))) == list(range(50))


def test_at_qos_0_what_was_not_written_yet_is_written_to_the_next_link(stack: ExitStack, tmp_path: Path) -> None:
    broker = open_broker(stack, tmp_path)
    wire = open_wire(stack, broker)
    sink = open_sink(stack, wire.port, qos=0)
    wait_for(sink, lambda condition: condition.state == "ok")
    wire.cut()
    wait_for(sink, lambda condition: condition.state == "waiting")
    publish(sink, range(50))
    assert sink.condition.waiting == 50
    reader = open_reader(stack, broker, tmp_path)
    wire.mend()
    wait_until(lambda: len(frames(reader)) == 50)
    assert frames(reader) == list(range(50))


@pytest.mark.slow
def test_a_link_that_is_dead_and_does_not_say_so_is_noticed(stack: ExitStack, tmp_path: Path) -> None:
    broker = open_broker(stack, tmp_path)
    wire = open_wire(stack, broker)
    sink = open_sink(stack, wire.port, keepalive_s=2)
    wait_for(sink, lambda condition: condition.state == "ok")
    wire.hold()
    wait_for(sink, lambda condition: condition.state == "waiting")
    assert "no answer any more" in str(sink.condition.reason)
    publish(sink, range(5))
    wire.cut()
    wire.mend()
    wait_for(sink, lambda condition: condition.sent == 5)


def test_only_what_fits_the_buffer_is_kept_and_the_rest_counted(stack: ExitStack, tmp_path: Path) -> None:
    broker = open_broker(stack, tmp_path)
    reader = open_reader(stack, broker, tmp_path, session="reader")
    size = len(to_json(make_reading(100, faces=(make_face_reading(),))))
    sink = open_sink(stack, broker.port, qos=2, buffer_mb=(10 * size + 20) / 1e6)
    wait_for(sink, lambda condition: condition.state == "ok")
    broker.kill()
    wait_for(sink, lambda condition: condition.state == "waiting")
    publish(sink, range(100, 150))
    assert (sink.condition.waiting, sink.condition.dropped) == (10, 40)
    broker.start()
    wait_for(sink, lambda condition: condition.waiting == 0)
    assert sink.condition == SinkStatus("ok", sent=10, dropped=40)
    wait_until(lambda: len(frames(reader)) == 10)
    assert frames(reader) == list(range(140, 150))


def test_what_is_too_old_is_dropped_and_counted(stack: ExitStack, tmp_path: Path) -> None:
    broker = open_broker(stack, tmp_path)
    reader = open_reader(stack, broker, tmp_path, session="reader")
    broker.kill()
    now = [0.0]
    settings = MqttSettings(host="127.0.0.1", port=broker.port, retry_s=0.05, retry_max_s=0.2, buffer_s=30)
    sink = stack.enter_context(closing(Mqtt(settings, "drone-7", clock=lambda: now[0])))
    for frame in range(60):
        now[0] = float(frame)
        publish(sink, range(frame, frame + 1))
    assert sink.condition.dropped == 29
    broker.start()
    wait_for(sink, lambda condition: condition.waiting == 0)
    assert sink.condition == SinkStatus("ok", sent=31, dropped=29)
    wait_until(lambda: len(frames(reader)) == 31)
    assert frames(reader) == list(range(29, 60))


def test_the_last_will_tells_of_a_process_that_was_killed(stack: ExitStack, tmp_path: Path) -> None:
    broker = open_broker(stack, tmp_path)
    reader = open_reader(stack, broker, tmp_path, f"{PREFIX}/availability")
    script = (
        "import sys, time; from edge_fer.publish.mqtt.sink import Mqtt; from edge_fer.settings import MqttSettings\n"
        "sink = Mqtt(MqttSettings(host='127.0.0.1', port=int(sys.argv[1])), 'drone-7'); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(broker.port)]) as process:
        try:
            wait_until(lambda: reader.payloads(f"{PREFIX}/availability") == ["online"])
        finally:
            process.kill()
    wait_until(lambda: reader.payloads(f"{PREFIX}/availability") == ["online", "offline"])


def test_handshakes_of_a_process_that_was_killed_do_not_confuse_the_next(stack: ExitStack, tmp_path: Path) -> None:
    """The broker still knows of messages 1 to 20; those of the new start have the same numbers."""
    broker = open_broker(stack, tmp_path)
    reader = open_reader(stack, broker, tmp_path)
    wire = open_wire(stack, broker)
    script = (
        "import sys, time; from edge_fer.publish.mqtt.sink import Mqtt; from edge_fer.settings import MqttSettings\n"
        "from tests.support.records import make_reading\n"
        "sink = Mqtt(MqttSettings(host='127.0.0.1', port=int(sys.argv[1]), qos=2), 'drone-7')\n"
        "for frame in range(1000, 1020): sink.publish(make_reading(frame), None)\n"
        "time.sleep(60)"
    )
    wire.cut_after(5000)
    with subprocess.Popen([sys.executable, "-c", script, str(wire.port)]) as process:
        try:
            wait_until(lambda: wire.cuts == 1)
            wire.cut()
        finally:
            process.kill()
    wait_until(lambda: "Received PUBLISH" in broker.log)
    sink = open_sink(stack, broker.port, qos=2)
    publish(sink, range(100))
    wait_for(sink, lambda condition: condition.sent == 100)
    wait_until(lambda: 99 in frames(reader))
    assert [frame for frame in frames(reader) if frame < 1000] == list(range(100))


def test_closing_sends_what_waits_and_says_offline(stack: ExitStack, tmp_path: Path) -> None:
    broker = open_broker(stack, tmp_path)
    reader = open_reader(stack, broker, tmp_path, f"{PREFIX}/+")
    sink = open_sink(stack, broker.port, qos=2)
    publish(sink, range(200))
    sink.close()
    assert sink.condition.sent == 200
    wait_until(lambda: "Received DISCONNECT from edge-fer-drone-7" in broker.log)
    published = re.findall("Received PUBLISH from edge-fer-drone-7.*'(edge-fer/.*)'", broker.log)
    assert published == [f"{PREFIX}/availability", f"{PREFIX}/privacy", *[READINGS] * 200]
    # Not in this order: a reader has `offline`, QoS 1, while its handshake for the last reading still goes on.
    wait_until(lambda: reader.payloads(f"{PREFIX}/availability") == ["online", "offline"])
    wait_until(lambda: frames(reader) == list(range(200)))


def test_closing_says_offline_even_where_the_broker_has_refused_something(stack: ExitStack, tmp_path: Path) -> None:
    broker = open_broker(stack, tmp_path, "max_packet_size 2000")
    sink = open_sink(stack, broker.port)
    sink.publish(make_reading(0, faces=(make_face_reading(),) * 5), None)
    wait_for(sink, lambda condition: condition.state == "failed")
    publish(sink, range(1, 101))
    sink.close()
    assert (sink.condition.sent, sink.condition.dropped) == (100, 1)
    reader = open_reader(stack, broker, tmp_path, f"{PREFIX}/availability")
    wait_until(lambda: len(reader.lines) == 1)
    assert reader.lines == [(True, f"{PREFIX}/availability", "offline")]


def test_closing_does_not_end_amid_the_handing_over(
    stack: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest state is neither due any more nor pending yet when the end comes."""
    broker = open_broker(stack, tmp_path)
    sink = open_sink(stack, broker.port)
    wait_for(sink, lambda condition: condition.state == "ok")
    closer, publish_it = threading.Thread(target=sink.close), Client.publish
    taken, amid = threading.Event(), list[bool]()

    def publish_while_it_closes(self: Client, topic: str, *rest: Any, **options: Any) -> Any:
        if topic.endswith("/state"):
            closer.start()
            closer.join(0.2)
            amid.append(closer.is_alive())
            taken.set()
        return publish_it(self, topic, *rest, **options)

    monkeypatch.setattr(Client, "publish", publish_while_it_closes)
    sink.publish(make_status(message="the last"), None)
    assert taken.wait(PATIENCE_S)
    closer.join(PATIENCE_S)
    assert amid == [True], "the end waits for the handing over"
    assert sink.condition == SinkStatus("ok", sent=1)
    assert f"'{PREFIX}/state'" in broker.log


def test_closing_without_a_broker_does_not_take_long_and_counts_what_it_has_not_sent(stack: ExitStack) -> None:
    sink = open_sink(stack, free_port(), times=LinkTimes(flush_s=0.1))
    publish(sink, range(7))
    sink.close()
    assert sink.condition.waiting == 7


def test_what_one_run_has_not_sent_the_next_one_sends_first(stack: ExitStack, tmp_path: Path) -> None:
    broker = open_broker(stack, tmp_path)
    reader = open_reader(stack, broker, tmp_path)
    wire = open_wire(stack, broker)
    wire.cut()
    first = open_sink(stack, wire.port, times=LinkTimes(flush_s=0.1))
    publish(first, range(40))
    first.close()
    unsent = first.take_unsent()
    assert (len(unsent), first.condition.waiting) == (40, 0)
    wire.mend()
    second = open_sink(stack, wire.port)
    second.resume(unsent)
    publish(second, range(40, 45))
    wait_for(second, lambda condition: condition == SinkStatus("ok", sent=45))
    wait_until(lambda: len(frames(reader)) == 45)
    assert frames(reader) == list(range(45))


def test_two_runs_of_one_machine_do_not_throw_each_other_out(stack: ExitStack, tmp_path: Path) -> None:
    broker = open_broker(stack, tmp_path)
    first = open_sink(stack, broker.port)
    wait_for(first, lambda condition: condition.state == "ok")
    second = open_sink(stack, broker.port)
    publish(second, range(3))
    wait_for(second, lambda condition: condition.state == "failed")
    assert re.search(
        rf"only client edge-fer-drone-7-\w+ of the broker .*, found another run on this machine "
        rf"\(process {os.getpid()}\); end the other, or give each a publish.mqtt.client_id",
        str(second.condition.reason),
    )
    publish(first, range(100))
    wait_for(first, lambda condition: condition == SinkStatus("ok", sent=100))
    assert broker.log.count("Sending CONNACK to edge-fer-drone-7") == 1
    first.close()
    wait_for(second, lambda condition: condition == SinkStatus("ok", sent=3))


def test_a_client_with_the_same_id_elsewhere_is_told_and_left_alone(
    stack: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mosquitto 2.0 closes the connection and does not say why."""
    monkeypatch.setattr(rivals, "_SHORTEST_S", 0.0)
    broker = open_broker(stack, tmp_path)
    sink = open_sink(stack, broker.port, client_id="twin", retry_s=0.01, retry_max_s=600)
    for number in range(3):
        wait_until(lambda links=2 * number + 1: broker.log.count("Sending CONNACK to twin") == links)
        wait_for(sink, lambda condition: condition.state == "ok")
        twin = stack.enter_context(socket.create_connection(("127.0.0.1", broker.port)))
        twin.sendall(b"\x10\x11\0\4MQTT\5\2\0\x3c\0\0\4twin")
        assert twin.recv(1) == b"\x20"
    wait_for(sink, lambda condition: condition.state == "failed")
    assert "only client twin" in str(sink.condition.reason)
    assert "signs of another: the connection was closed soon after it began, 3 times in a row" in str(
        sink.condition.reason
    )
    assert broker.log.count("Sending CONNACK to twin") == 6, "it is left alone"


def test_how_long_a_broker_is_left_to_another_client() -> None:
    closed, other = link_error.link_broke("a:1", link_error.CLOSED), link_error.no_broker("a:1", "connection refused")
    taken = LinkError("taken over", lasting=True, is_taken_over=True)

    def pauses(*ends: tuple[LinkError, float]) -> list[float | None]:
        judge = Rivals(30)
        rivals = [judge.link_ended(error, held_s) for error, held_s in ends]
        return [rival.pause_s if rival is not None else None for rival in rivals]

    assert pauses(*[(taken, 5)] * 5) == [30, 60, 120, 240, 240]
    assert pauses((taken, 5), (closed, 300), (taken, 5)) == [30, None, 30], "it held for long in between"
    assert pauses(*[(closed, 1)] * 4) == [None, None, 30, 60]
    assert pauses(*[(closed, 1), (closed, 1), (other, 0)] * 3) == [None] * 9, "the broker is restarted"
    assert pauses(*[(closed, 0.01)] * 9) == [None] * 9, "the wire is broken"


def test_a_broker_that_acknowledges_nothing_is_told_and_left(stack: ExitStack) -> None:
    """It answers pings, so that the link does not break."""
    port = stack.enter_context(scripted(CONNACK, CONNACK + b"\xe0\2\x8b\0"))
    sink = open_sink(stack, port, times=LinkTimes(quiet_s=0.1, silent_s=0.4, idle_s=0.02, flush_s=0), retry_s=1)
    publish(sink, range(3))
    wait_for(sink, lambda condition: condition.reason is not None)
    assert sink.condition.state == "waiting"
    assert "to acknowledge messages, found none acknowledged for" in str(sink.condition.reason)
    assert sink.condition.waiting == 3
    wait_for(sink, lambda condition: "server shutting down" in str(condition.reason))


def test_a_broker_that_keeps_nothing_is_told_and_can_be_used(stack: ExitStack, tmp_path: Path) -> None:
    broker = open_broker(stack, tmp_path, "retain_available false")
    sink = open_sink(stack, broker.port)
    refused = "to keep retained messages, found: retain not available; allow it at the broker, or set"
    wait_for(sink, lambda condition: condition.state == "failed")
    assert refused in str(sink.condition.reason)
    settings = MqttSettings(host="127.0.0.1", port=broker.port)
    with pytest.raises(OutputError, match=refused):
        try_broker(settings, "drone-7")
    sink.close()
    settings = MqttSettings(host="127.0.0.1", port=broker.port, retain=False)
    try_broker(settings, "drone-7")
    reader = open_reader(stack, broker, tmp_path, f"{PREFIX}/+")
    sink = open_sink(stack, broker.port, retain=False)
    publish(sink, range(1))
    wait_for(sink, lambda condition: condition == SinkStatus("ok", sent=1))
    wait_until(lambda: {f"{PREFIX}/availability", READINGS} <= {topic for _, topic, _ in reader.lines})
    assert not any(retained for retained, _, _ in reader.lines)


def test_a_check_does_what_a_run_does_and_leaves_nothing_behind(stack: ExitStack, tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.write_text("topic write edge-fer/drone-7/#\n")
    broker = open_broker(stack, tmp_path, f"acl_file {rules}", "allow_anonymous true")
    settings = MqttSettings(host="127.0.0.1", port=broker.port, qos=2)
    try_broker(settings, "drone-7")
    with pytest.raises(OutputError, match="expected the broker to allow edge-fer/drone-8/check, found: not authorized"):
        try_broker(settings, "drone-8")
    rules.write_text("topic readwrite #\n")
    broker.reload()
    reader = open_reader(stack, broker, tmp_path, "#")
    publish(open_sink(stack, broker.port), range(1))
    wait_until(lambda: READINGS in {topic for _, topic, _ in reader.lines})
    assert f"{PREFIX}/check" not in {topic for retained, topic, _ in reader.lines if retained}


def test_a_check_of_a_broker_that_acknowledges_nothing_fails() -> None:
    with scripted(CONNACK) as port, pytest.raises(OutputError, match="to acknowledge messages, found none"):
        try_broker(MqttSettings(host="127.0.0.1", port=port), "drone-7", times=LinkTimes(quiet_s=0.1, idle_s=0.05))


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        (b"\x30\xff\xff\xff\x7f", r"found a packet of 268435455 bytes, of 8192 at most; is it a broker\?"),
        (b"\x30\xff\xff\xff\xff", "found a length that MQTT does not have"),
        (b"\x34\x05\0\1a\0\1", "found a message at QoS 2, which was not subscribed to"),
        (b"\xc0\0", "found a packet of type 12, which a broker does not send"),
        (b"\x40\x03\0\1\x42", "found a packet that is malformed"),
    ],
)
def test_a_broker_that_sends_what_it_must_not_is_hung_up_on(stack: ExitStack, sent: bytes, found: str) -> None:
    port = stack.enter_context(scripted(CONNACK + sent))
    sink = open_sink(stack, port, retry_max_s=600)
    wait_for(sink, lambda condition: condition.state == "failed")
    assert re.search(found, str(sink.condition.reason))


def test_a_broker_that_is_not_there_yet_is_waited_for(stack: ExitStack, tmp_path: Path) -> None:
    broker = open_broker(stack, tmp_path)
    broker.kill()
    sink = open_sink(stack, broker.port)
    publish(sink, range(3))
    wait_for(sink, lambda condition: "connection refused" in str(condition.reason))
    assert sink.condition.state == "waiting"
    with pytest.raises(OutputError, match=r"expected a broker at 127.0.0.1:\d+, found: connection refused; start it"):
        try_broker(MqttSettings(host="127.0.0.1", port=broker.port), "drone-7")
    broker.start()
    wait_for(sink, lambda condition: condition == SinkStatus("ok", sent=3))


@pytest.mark.parametrize("host", ["broker.invalid", "a..b"])
def test_an_unknown_host_is_waited_for(stack: ExitStack, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    real = socket.getaddrinfo

    def resolve(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "broker.invalid":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(name, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(OutputError, match=f"expected a broker at {host}:1883, found: "):
        try_broker(MqttSettings(host=host), "drone-7")
    sink = stack.enter_context(closing(Mqtt(MqttSettings(host=host), "drone-7")))
    wait_for(sink, lambda condition: f"a broker at {host}:1883" in str(condition.reason))
    assert sink.condition.state == "waiting"


def test_a_server_that_is_no_broker_is_found_out() -> None:
    with (
        scripted(b"") as port,
        pytest.raises(OutputError, match=r"found: no answer within 0\.2 s; start it, or mend .*tls"),
    ):
        try_broker(MqttSettings(host="127.0.0.1", port=port), "drone-7", connect_s=0.2)


def test_a_broker_without_mqtt_5_is_found_out() -> None:
    with (
        scripted(b"\x20\x02\x00\x01") as port,
        pytest.raises(OutputError, match=r"unsupported protocol version; .*MQTT 5 is needed"),
    ):
        try_broker(MqttSettings(host="127.0.0.1", port=port), "drone-7")


@pytest.mark.parametrize("qos", [1, 2])
def test_a_topic_that_the_broker_does_not_allow_is_told_until_it_is_allowed(
    stack: ExitStack, tmp_path: Path, qos: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mosquitto 2.0 refuses it, and ends the link, too, which is no sign of another client."""
    monkeypatch.setattr(rivals, "_SHORTEST_S", 0.0)
    rules = tmp_path / "rules"
    rules.write_text("topic readwrite other/#\n")
    broker = open_broker(stack, tmp_path, f"acl_file {rules}")
    sink = open_sink(stack, broker.port, times=LinkTimes(steady_s=0.5), qos=qos, in_flight=1)
    wait_for(sink, lambda condition: condition.state == "failed")
    refused = f"expected the broker to allow {PREFIX}/availability, found: not authorized"
    assert refused in str(sink.condition.reason)
    wait_until(lambda: broker.log.count("Denied PUBLISH") >= 3)
    assert sink.condition.state == "failed"
    rules.write_text("topic readwrite edge-fer/#\n")
    broker.reload()
    wait_until(lambda: publish(sink, range(1)) is None and sink.condition.state == "ok")


def test_what_is_refused_counts_as_dropped(stack: ExitStack, tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.write_text(f"topic readwrite {PREFIX}/availability\ntopic readwrite {PREFIX}/privacy\n")
    broker = open_broker(stack, tmp_path, f"acl_file {rules}")
    sink = open_sink(stack, broker.port, in_flight=1)  # mosquitto 2.0 hangs up: with more its answer may be lost
    publish(sink, range(3))
    wait_for(sink, lambda condition: condition.waiting == 0)
    assert sink.condition.state == "failed"
    assert f"allow {READINGS}, found: not authorized" in str(sink.condition.reason)
    assert (sink.condition.sent, sink.condition.dropped) == (0, 3)


def test_a_record_that_is_longer_than_the_broker_takes_does_not_hold_up_the_others(
    stack: ExitStack, tmp_path: Path
) -> None:
    now = [100.0]
    broker = open_broker(stack, tmp_path, "max_packet_size 2000")
    reader = open_reader(stack, broker, tmp_path)
    settings = MqttSettings(host="127.0.0.1", port=broker.port, retry_s=0.05, retry_max_s=0.2)
    sink = stack.enter_context(closing(Mqtt(settings, "drone-7", clock=lambda: now[0])))
    publish(sink, range(2))
    sink.publish(make_reading(2, faces=(make_face_reading(),) * 5), None)
    publish(sink, range(3, 5))
    wait_for(sink, lambda condition: condition.waiting == 0)
    assert (sink.condition.sent, sink.condition.dropped, sink.condition.state) == (4, 1, "failed")
    assert "bytes are more than it takes" in str(sink.condition.reason)
    wait_until(lambda: frames(reader) == [0, 1, 3, 4])
    now[0] += DEFAULT_TIMES.steady_s
    publish(sink, range(5, 6))
    wait_for(sink, lambda condition: condition == SinkStatus("ok", sent=5, dropped=1))


def test_a_qos_that_the_broker_does_not_offer_is_told(stack: ExitStack, tmp_path: Path) -> None:
    broker = open_broker(stack, tmp_path, "max_qos 1")
    with pytest.raises(OutputError, match=r"to take QoS 2, found 1 at most; set publish.mqtt.qos"):
        try_broker(MqttSettings(host="127.0.0.1", port=broker.port, qos=2), "drone-7")


@pytest.mark.parametrize(
    ("code", "state", "reason"),
    [
        (
            0x8E,
            "failed",
            r"only client edge-fer-drone-7-\w+ of the broker .*, found another: session taken over",
        ),
        (0x8B, "waiting", r"takes leave: server shutting down"),
        (0x97, "waiting", r"sent away: quota exceeded"),
    ],
)
def test_why_the_broker_ended_the_link_is_told(stack: ExitStack, code: int, state: str, reason: str) -> None:
    """What mosquitto 2.0 does not say and other brokers do."""
    port = stack.enter_context(scripted(CONNACK + bytes((0xE0, 2, code, 0))))
    sink = open_sink(stack, port, retry_s=60, retry_max_s=60)
    wait_for(sink, lambda condition: "dialled" not in str(condition.reason) and condition.reason is not None)
    assert sink.condition.state == state
    assert re.search(reason, str(sink.condition.reason))


def test_the_broker_forgets_a_client_that_took_leave(stack: ExitStack, tmp_path: Path) -> None:
    broker = open_broker(stack, tmp_path)
    for _ in range(2):
        sink = open_sink(stack, broker.port)
        wait_for(sink, lambda condition: condition.state == "ok")
        sink.close()
    assert broker.log.count("Sending CONNACK to edge-fer-drone-7") == 2
    assert "(1, 0)" not in broker.log


def test_what_nobody_foresaw_fails_the_sink_and_is_tried_again(
    stack: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broker = open_broker(stack, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(Connection, "process", lambda *_: 1 / 0)
        sink = open_sink(stack, broker.port)
        wait_for(sink, lambda condition: condition.state == "failed")
        assert "division by zero" in str(sink.condition.reason)
        assert "failed unexpectedly" in caplog.text
    wait_for(sink, lambda condition: condition.state == "ok")


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paho.mqtt.client", None)
    with pytest.raises(ConfigError, match=r"pip install '\.\[mqtt\]' in its checkout$"):
        Mqtt(MqttSettings(host="127.0.0.1"), "drone-7")


def test_the_settings_open_it(stack: ExitStack, tmp_path: Path) -> None:
    broker = open_broker(stack, tmp_path)
    flags = {"publish.mqtt.host": "127.0.0.1", "publish.mqtt.port": broker.port, "device": "a/b+c"}
    digest = hashlib.sha256(b"a/b+c").hexdigest()[:8]
    (sink,) = configured_sinks(load_settings(environment={}, flags=flags))
    with closing(sink):
        wait_until(lambda: f"'edge-fer/a_b_c_{digest}/availability'" in broker.log)
    assert list(configured_sinks(load_settings(environment={}))) == []


def test_client_ids_differ_by_machine_and_stay(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("b7f2c6a0e1d94f0c8a7b6c5d4e3f2a1b\n")
    other.write_text("00000000000000000000000000000000\n")
    assert default_client_id("drone-7", one) == default_client_id("drone-7", one)
    assert default_client_id("drone-7", one) != default_client_id("drone-7", other)
    assert "b7f2" not in default_client_id("drone-7", one)
    assert default_client_id("drone-7", tmp_path / "none").startswith("edge-fer-drone-7-")


def test_names_that_do_not_fit_stay_apart() -> None:
    assert fitting("drone-7", "[+#/]") == "drone-7"
    assert fitting("Tür 3", "[+#/]") == "Tür 3"
    assert fitting("hall/2", "[+#/]") == "hall_2_5e9c6874"
    assert len({fitting(name, "[+#/]") for name in ("a/b", "a+b", "a#b", "a_b")}) == 4


@pytest.mark.parametrize(
    ("flag", "value", "expected"),
    [
        ("prefix", "edge/+/fer", "without + or #"),
        ("prefix", "edge-fer/", "expected a topic"),
        ("prefix", "$SYS/edge", "expected a topic"),
        ("homeassistant_prefix", "#", "expected a topic"),
        ("ca_file", "/etc/ca.pem", "ca_file needs `tls: true`"),
        ("qos", 3, "publish.mqtt.qos"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(flag: str, value: object, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(environment={}, flags={f"publish.mqtt.{flag}": value})
    assert expected in str(caught.value)


def test_a_key_needs_its_certificate() -> None:
    with pytest.raises(ConfigError, match="key_file needs cert_file"):
        load_settings(environment={}, flags={"publish.mqtt.tls": True, "publish.mqtt.key_file": "/etc/key.pem"})


def test_a_record_is_sent_at_once_and_not_at_the_next_check_of_the_keep_alive(stack: ExitStack, tmp_path: Path) -> None:
    broker = open_broker(stack, tmp_path)
    sink = open_sink(stack, broker.port, times=LinkTimes(idle_s=600), keepalive_s=3600)
    for frame in range(5):
        publish(sink, range(frame, frame + 1))
        wait_for(sink, lambda condition, least=frame + 1: condition.sent == least)

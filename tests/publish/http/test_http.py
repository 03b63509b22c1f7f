from __future__ import annotations

import asyncio
import errno
import json
import re
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from edge_fer.errors import ConfigError, OutputError
from edge_fer.publish.configured import configured_sinks
from edge_fer.publish.http import check, open_sink
from edge_fer.publish.http.handover import Handover
from edge_fer.publish.http.latest_records import LatestRecords
from edge_fer.publish.http.limits import Limits
from edge_fer.publish.http.server import note_error
from edge_fer.publish.http.sink import HttpSink
from edge_fer.publish.sink_queue import SinkQueue
from edge_fer.schema import SinkStatus, StageTime, Status, json_schema, to_json
from edge_fer.settings import HttpSettings, PrivacySettings, Settings
from tests.support.http_site import ask, events, raw, serving, settings_with, streaming, write_token
from tests.support.records import make_face_reading, make_reading, make_status, make_track
from tests.support.waiting import Clock, wait_until

READING = make_reading(faces=(make_face_reading(), make_face_reading(None, "unsure")))
PICTURE = np.random.default_rng(0).integers(0, 255, (360, 640, 3), dtype=np.uint8)


def server_threads() -> list[threading.Thread]:
    """The threads of servers that run."""
    return [thread for thread in threading.enumerate() if thread.name == "http server"]


def until_closed(client: ClientConnection) -> int:
    """Read what is sent until the server closes the connection; the code that it gives."""
    with suppress(ConnectionClosed):
        while True:
            client.recv(5)
    assert client.close_code is not None
    return client.close_code


# ---- Health


def test_health_is_503_until_the_first_reading_and_then_200() -> None:
    with serving() as sink:
        assert ask(sink, "/healthz").status == 503
        sink.publish(make_status("starting", "opening the camera"), None)
        answer = ask(sink, "/healthz")
        assert answer.status == 503
        assert answer.json["reasons"] == [{"what": "starting", "why": "opening the camera"}]
        sink.publish(make_status(), None)
        sink.publish(READING, None)
        answer = ask(sink, "/healthz")
        assert answer.status == 200
        assert answer.json == {
            "schema": "edge-fer/health/1", "healthy": True, "degraded": False, "reasons": [], "lost": 0
        }  # fmt: skip


def test_degraded_is_healthy_and_says_so() -> None:
    with serving() as sink:
        sink.publish(make_status("degraded", "the CPU stands in"), None)
        sink.publish(replace(READING, degraded=True, reason="the Edge TPU is away"), None)
        answer = ask(sink, "/healthz")
        assert answer.status == 200
        assert answer.json["degraded"]
        assert answer.json["reasons"] == [{"what": "degraded", "why": "the Edge TPU is away"}]


def test_a_lost_camera_is_503_at_once() -> None:
    with serving() as sink:
        sink.publish(make_status(), None)
        sink.publish(READING, None)
        sink.publish(make_status("waiting_for_camera", "no camera at /dev/video0"), None)
        answer = ask(sink, "/healthz")
        assert answer.status == 503
        assert answer.json["reasons"] == [{"what": "no_camera", "why": "no camera at /dev/video0"}]


def test_silence_is_told_apart_from_missing_readings() -> None:
    clock = Clock(100.0)
    latest = LatestRecords(10, clock)
    assert latest.reading_age_s is None
    latest.update(make_status())
    latest.update(READING)
    clock.now += 9.9
    assert latest.health().healthy
    assert latest.reading_age_s == pytest.approx(9.9)
    latest.update(make_status())
    clock.now += 0.2
    (reason,) = latest.health().reasons
    assert (reason.what, reason.why) == ("no_reading", "no frame was read for 10 s")
    clock.now += 10
    (reason,) = latest.health().reasons
    assert (reason.what, reason.why) == ("stuck", "the loop has been silent for 10 s")
    latest.update(make_status("stopping", "asked to stop"))
    assert [reason.what for reason in latest.health().reasons] == ["stopping"]


def test_health_is_of_one_moment() -> None:
    """A record that comes while the health is being derived changes all of it, or nothing."""
    trouble = replace(
        make_status("waiting_for_camera", "no camera"), sinks={"mqtt": SinkStatus("failed", reason="no broker")}
    )

    def clock() -> float:
        if arriving:
            latest.update(arriving.pop())
        return 0.0

    arriving: list[Status] = []
    latest = LatestRecords(10, clock)
    latest.update(make_status())
    latest.update(READING)
    arriving.append(trouble)
    health = latest.health()
    assert (health.healthy, health.reasons) == (True, ()), "as it was when it was asked for"
    assert [reason.what for reason in latest.health().reasons] == ["no_camera", "sink"]


def test_a_loop_that_is_stuck_is_ill_though_readings_come() -> None:
    latest = LatestRecords(10)
    latest.update(replace(make_status("degraded"), stuck="labels"))
    latest.update(READING)
    assert not latest.health().healthy
    assert latest.health().reasons[0].what == "stuck"
    assert latest.health().reasons[0].why == "labels: a call has outlived its deadline and cannot be ended"


def test_a_sink_in_trouble_degrades_and_does_not_kill() -> None:
    latest = LatestRecords(10)
    latest.update(replace(make_status(), sinks={"mqtt": SinkStatus("failed", reason="wrong password")}))
    latest.update(READING)
    health = latest.health()
    assert health.healthy
    assert [(reason.what, reason.why) for reason in health.reasons] == [("sink", "mqtt is failed: wrong password")]


# ---- Metrics and schema


def test_metrics_are_what_prometheus_expects() -> None:
    status = replace(
        make_status(),
        stages={"detect": StageTime(150, 27.13, 31.9, 40.0)},
        temperatures={"0:cpu-thermal": 61.5},
        throttled=("capped",),
        recovery={"usb_reset": 2},
        sinks={"mqtt": SinkStatus("waiting", 7, 3, 5, "no broker")},
        detector="yolov3_tiny",
        detector_backend="edgetpu:usb:0",
    )
    with serving() as sink:
        assert ask(sink, "/metrics").status == 200
        sink.publish(status, None)
        sink.publish(READING, None)
        sink.publish(READING, None)
        for track in (make_track(), make_track(8), make_track(9, label=None)):
            sink.publish(track, None)
        answer = ask(sink, "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = {family.name: family for family in text_string_to_metric_families(answer.body.decode())}
    found = {
        (sample.name, *sample.labels.values()): sample.value for each in families.values() for sample in each.samples
    }
    for name, value in {
        ("edge_fer_healthy",): 1,
        ("edge_fer_frames_per_second",): 29.9,
        ("edge_fer_frames_dropped_total",): 3,
        ("edge_fer_readings_total",): 2,
        ("edge_fer_faces",): 2,
        ("edge_fer_labels_total", "happiness"): 2,
        ("edge_fer_labels_total", "fear"): 0,
        ("edge_fer_abstentions_total", "unsure"): 2,
        ("edge_fer_tracks_total", "happiness"): 2,
        ("edge_fer_tracks_total", "fear"): 0,
        ("edge_fer_tracks_total", "none"): 1,
        ("edge_fer_track_duration_seconds_bucket", "3.0"): 0,
        ("edge_fer_track_duration_seconds_bucket", "10.0"): 3,
        ("edge_fer_track_duration_seconds_sum",): 12.6,
        ("edge_fer_reading_age_seconds_bucket", "0.02"): 0,
        ("edge_fer_reading_age_seconds_bucket", "0.03"): 2,
        ("edge_fer_label_age_seconds_count",): 4,
        ("edge_fer_stage_seconds", "0.95", "detect"): 0.0319,
        ("edge_fer_temperature_celsius", "0:cpu-thermal"): 61.5,
        ("edge_fer_throttled", "capped"): 1,
        ("edge_fer_throttled", "throttled"): 0,
        ("edge_fer_state", "running"): 1,
        ("edge_fer_detector_info", "edgetpu:usb:0", "yolov3_tiny"): 1,
        ("edge_fer_state", "degraded"): 0,
        ("edge_fer_recovery_attempts_total", "usb_reset"): 2,
        ("edge_fer_sink_state", "mqtt", "waiting"): 1,
        ("edge_fer_sink_sent_records_total", "mqtt"): 7,
        ("edge_fer_sink_dropped_records_total", "mqtt"): 3,
        ("edge_fer_sink_waiting_records", "mqtt"): 5,
        ("edge_fer_http_lost_messages_total",): 0,
        ("edge_fer_http_refused_tokens_total",): 0,
        ("edge_fer_http_ended_connections_total",): 0,
    }.items():
        assert found[name] == pytest.approx(value), name
    assert all(family.documentation for family in families.values())
    assert not [name for name in families if name.endswith("_created")]


def test_nobody_knows_who_is_in_view_while_nothing_is_seen() -> None:
    clock = Clock(100.0)
    latest = LatestRecords(10, clock)
    assert latest.faces is None
    for state in ("waiting_for_camera", "stopping"):
        latest.update(READING)
        latest.update(make_status())
        assert latest.faces == 2
        latest.update(make_status(state))
        assert latest.faces is None, state
    latest.update(READING)
    assert latest.faces == 2, "seen again, though the next status is still to come"
    clock.now += 10
    assert latest.faces is None
    with serving() as sink:
        sink.publish(READING, None)
        assert b"\nedge_fer_faces 2.0\n" in ask(sink, "/metrics").body
        sink.publish(make_status("waiting_for_camera", "no camera"), None)
        assert b"edge_fer_faces" not in ask(sink, "/metrics").body


def test_what_is_not_known_is_no_zero() -> None:
    with serving() as sink:
        sink.publish(make_status("starting"), None)
        found = ask(sink, "/metrics").body.decode()
        for name in ("faces", "frames_per_second", "last_reading_age_seconds", "throttled", "temperature_celsius"):
            assert not re.search(rf"^edge_fer_{name}[ {{]", found, re.MULTILINE), name
        sink.publish(READING, None)
        assert "\nedge_fer_frames_per_second 29.9\n" in ask(sink, "/metrics").body.decode()


def test_the_schema_is_that_of_the_records() -> None:
    with serving() as sink:
        schemas = ask(sink, "/schema").json
    assert {name: schemas[name] for name in json_schema()} == json.loads(json.dumps(json_schema()))
    assert "reasons" in schemas["edge-fer/health/1"]["properties"]


# ---- Readings


def test_a_stream_begins_with_the_newest_and_goes_on() -> None:
    with serving() as sink:
        sink.publish(make_status(), None)
        sink.publish(READING, None)
        with streaming(sink, "/readings") as response:
            assert response.getheader("content-type") == "text/event-stream; charset=utf-8"
            heard = events(response)
            first = [next(heard) for _ in range(3)]
            assert [name for name, _ in first] == ["status", "reading", "health"]
            assert first[1][1] == json.loads(to_json(READING))
            sink.publish(make_reading(frame=2), None)
            name, reading = next(heard)
            assert (name, reading["frame"]) == ("reading", 2)


def test_faces_that_have_left_are_told_and_the_last_ones_again_to_who_comes_later() -> None:
    with serving() as sink:
        with streaming(sink, "/readings") as response:
            heard = events(response)
            assert next(heard)[0] == "health"
            sink.publish(make_track(0), None)
            assert next(heard) == ("track", json.loads(to_json(make_track(0))))
        for number in range(1, 40):
            sink.publish(make_track(number), None)
        sink.publish(make_status(), None)
        sink.publish(READING, None)
        with streaming(sink, "/readings") as response:
            heard = events(response)
            again = [next(heard) for _ in range(22)]
        assert [record["id"] for name, record in again if name == "track"] == list(range(20, 40))
        assert [name for name, _ in again[20:]] == ["status", "reading"]
        assert ask(sink, "/healthz").status == 200
        assert "\nedge_fer_http_lost_messages_total 0.0\n" in ask(sink, "/metrics").body.decode()
    with serving(queue=1) as sink:
        sink.publish(make_track(), None)
        sink.publish(READING, None)
        with streaming(sink, "/readings") as response:
            assert next(events(response))[0] == "reading", "there is room for one"


def test_a_web_socket_carries_the_same() -> None:
    with serving() as sink:
        sink.publish(make_status(), None)
        with connect(f"ws://127.0.0.1:{sink.port}/readings") as client:
            assert json.loads(client.recv(5))["schema"] == "edge-fer/status/1"
            assert json.loads(client.recv(5))["schema"] == "edge-fer/health/1"
            sink.publish(READING, None)
            assert client.recv(5) == to_json(READING)
        wait_until(lambda: b"edge_fer_http_streams 0.0" in ask(sink, "/metrics").body)


def test_a_web_socket_has_nothing_to_say() -> None:
    with serving() as sink, connect(f"ws://127.0.0.1:{sink.port}/readings") as client:
        client.send("hello")
        assert until_closed(client) == 1008


def test_health_comes_while_nothing_else_does() -> None:
    with serving(limits=Limits(health_every_s=0.05)) as sink, streaming(sink, "/readings") as response:
        heard = events(response)
        assert [next(heard)[0] for _ in range(3)] == ["health"] * 3


def test_a_slow_client_loses_old_readings_and_delays_nobody() -> None:
    limits = Limits(health_every_s=0.05)
    request = b"GET /readings HTTP/1.1\r\nHost: localhost\r\n\r\n"
    padded = make_reading(faces=(make_face_reading(),) * 32)
    with (
        serving(limits=limits, queue=4) as sink,
        raw(sink, request, buffer=4096) as slow,
        streaming(sink, "/readings") as response,
    ):
        heard = events(response)
        frame = 0

        def lost() -> int:
            nonlocal frame
            frame += 1
            sink.publish(replace(padded, frame=frame), None)
            assert next(event["frame"] for name, event in heard if name == "reading") == frame, "the quick one gets all"
            return sink.condition.dropped

        assert wait_until(lost) > 0
        assert sink.condition.state == "ok"
        assert sink.condition.sent == frame

        def told() -> bool:
            slow.recv(4096)
            return b'"lost":' in slow.recv(65_536).replace(b'"lost":0', b"")

        assert wait_until(told), "the slow one hears how many it lost"


def test_what_a_busy_server_cannot_take_is_counted() -> None:
    taken: list[int] = []
    handover: Handover[int] = Handover(2, taken.append)
    handover.put(1)
    assert handover.lost == 0, "nobody to hand over to, which the sink counts"

    class Loop:
        def __init__(self) -> None:
            self.calls: list[Callable[[], None]] = []

        def call_soon_threadsafe(self, call: Callable[[], None]) -> None:
            self.calls.append(call)

    loop = Loop()
    handover.attach(loop)  # type: ignore[arg-type]  # all that it needs of a loop
    for item in (2, 3, 4):
        handover.put(item)
    (drain,) = loop.calls
    assert handover.lost == 1
    drain()
    assert taken == [3, 4]


# ---- The picture


def test_a_picture_is_made_only_while_there_are_viewers(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = []
    monkeypatch.setattr("edge_fer.publish.http.live._jpeg", lambda picture, _: encoded.append(picture) or b"jpeg")
    with serving(live=True, live_fps=60) as sink:
        assert sink.pictures
        sink.publish(READING, PICTURE)
        assert not encoded
        with streaming(sink, "/live") as response:
            assert response.getheader("content-type") == "multipart/x-mixed-replace; boundary=frame"
            wait_until(lambda: sink.publish(READING, PICTURE) or encoded)
            part = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: 4\r\n\r\njpeg\r\n--frame\r\n"
            assert response.read(len(part)) == part
        wait_until(lambda: b"edge_fer_http_streams 0.0" in ask(sink, "/metrics").body)
        encoded.clear()
        sink.publish(READING, PICTURE)
        assert not encoded


def picture_of(sink: HttpSink) -> np.ndarray:
    """The next picture that is shown."""
    with streaming(sink, "/live") as response:
        stopping = threading.Event()

        def feed() -> None:
            while not stopping.wait(0.01):
                sink.publish(READING, PICTURE)

        feeder = threading.Thread(target=feed)
        feeder.start()
        try:
            assert response.readline() == b"--frame\r\n"
            response.readline()
            length = int(response.readline().partition(b":")[2])
            response.readline()
            jpeg = response.read(length)
        finally:
            stopping.set()
            feeder.join()
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)


def test_the_picture_shows_the_faces_or_hides_them() -> None:
    box = READING.faces[0].box
    inside = (slice(int(box.y) + 25, int(box.y) + 32), slice(int(box.x) + 5, int(box.x) + 12))
    with serving(live=True) as sink:
        shown = picture_of(sink)
    with serving(PrivacySettings(blur_faces=True), live=True, live_fps=60) as sink:
        hidden = picture_of(sink)
    assert shown.shape == hidden.shape == PICTURE.shape
    assert np.std(shown[inside]) > 3 * np.std(hidden[inside])
    with serving(live=True, live_size=320) as sink:
        assert picture_of(sink).shape == (180, 320, 3)


def test_pictures_are_no_more_than_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from edge_fer.publish.drawing.face_hider import ShowAll
    from edge_fer.publish.http.live import LiveView

    clock = Clock(100.0)
    live = LiveView(HttpSettings(live_fps=10), ShowAll(), clock=clock)
    made = []
    monkeypatch.setattr(live.handover, "put", made.append)
    with live.viewer():
        for _ in range(100):
            live.offer(PICTURE, READING)
            clock.now += 0.03
    assert 29 <= len(made) <= 31


def test_without_live_there_is_no_picture() -> None:
    with serving() as sink:
        assert not sink.pictures
        assert ask(sink, "/live").status == 404


# ---- Opening and closing


def test_the_settings_open_it() -> None:
    settings = Settings.model_validate({"publish": {"http": {"enabled": True, "port": 0}}})
    (sink,) = configured_sinks(settings)
    assert sink.name == "http"
    sink.close()


def test_it_ends_in_time_whoever_listens() -> None:
    request = b"GET /readings HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with serving(live=True) as sink:
        queue = SinkQueue(sink, essential=False)
        with (
            streaming(sink, "/readings") as listener,
            streaming(sink, "/live") as watcher,
            connect(f"ws://127.0.0.1:{sink.port}/readings") as client,
            raw(sink, request, buffer=4096),
        ):
            wait_until(lambda: b"edge_fer_http_streams 4.0" in ask(sink, "/metrics").body)
            queue.close()
            assert queue.condition.state == "ok"
            assert sink.port is None
            listener.read()
            watcher.read()
            assert until_closed(client) in (1001, 1012)
    assert not server_threads()


def test_a_port_in_use_is_told_and_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(
            OutputError, match=rf"listen at 127\.0\.0\.1 port {port} .*Address already in use; .*end it"
        ):
            check(settings_with(HttpSettings(enabled=True, port=port)), answer_s=0.1)  # nothing answers
        clock = Clock(100.0)
        sink = HttpSink(HttpSettings(enabled=True, port=port), PrivacySettings(), "drone-7", clock)
        sink.publish(READING, None)
        condition = sink.condition
        assert (condition.state, condition.sent, condition.dropped) == ("failed", 0, 1)
        assert "Address already in use" in str(condition.reason)
    sink.tick()
    assert sink.condition.state == "failed", "not tried again so soon"
    clock.now += 1.1
    sink.tick()
    assert sink.condition.state == "ok"
    assert ask(sink, "/healthz").status == 200 or ask(sink, "/healthz").status == 503
    sink.close()
    check(settings_with(HttpSettings(enabled=True, port=port)))


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::1"])
def test_a_check_beside_the_running_service_passes_and_says_so(
    address: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(address=address, token_file=write_token(tmp_path)) as sink:
        assert sink.port is not None
        same = HttpSettings(enabled=True, address=address, port=sink.port, token_file=tmp_path / "token")
        check(settings_with(same))
        assert f"an edge-fer serves port {sink.port} already" in caplog.text
        assert sink.condition.state == "ok"


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200 OK\r\nServer: nginx\r\n\r\n"])
def test_another_program_on_the_port_fails_the_check(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(5)

        def reply() -> None:
            connection, _ = other.accept()
            with connection:
                connection.sendall(answer)

        replier = threading.Thread(target=reply)
        replier.start()
        with pytest.raises(OutputError, match="Address already in use"):
            check(settings_with(HttpSettings(enabled=True, port=other.getsockname()[1])))
        replier.join()


def test_an_address_that_may_come_is_waited_for(tmp_path: Path) -> None:
    settings = HttpSettings(enabled=True, port=0, address="192.0.2.1", token_file=write_token(tmp_path))
    with pytest.raises(OutputError, match="no such address: see `ip address`"):
        check(settings_with(settings))
    sink = open_sink(settings_with(settings))
    assert sink.condition is not None
    assert sink.condition.state == "waiting"
    sink.close()


def test_a_server_that_died_is_started_again(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("boom")

    clock = Clock(100.0)
    with monkeypatch.context() as patch:
        patch.setattr("uvicorn.Server.serve", fail)
        sink = HttpSink(HttpSettings(enabled=True, port=0), PrivacySettings(), "drone-7", clock)
        wait_until(lambda: not server_threads())
    sink.tick()
    assert sink.condition.state == "waiting"
    assert "failed unexpectedly" in caplog.text
    clock.now += 1.1
    sink.tick()
    assert sink.condition.state == "ok"
    assert ask(sink, "/").status == 200
    sink.close()


def test_a_server_that_does_not_end_is_told() -> None:
    settings = HttpSettings(enabled=True, port=0)
    sink = HttpSink(settings, PrivacySettings(), "drone-7", limits=Limits(stop_s=0.0))
    with pytest.raises(OutputError, match="end within 0 s, found it stuck"):
        sink.close()
    wait_until(lambda: not server_threads())


def test_a_missing_library_is_told_with_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.startswith("edge_fer.publish.http.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    for opened in (
        lambda: open_sink(settings_with(HttpSettings(enabled=True))),
        lambda: check(settings_with(HttpSettings(enabled=True))),
    ):
        with pytest.raises(ConfigError, match=r"pip install '\.\[http\]' in its checkout$"):
            opened()


def test_what_strangers_cause_is_told_and_bounded(caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.new_event_loop()
    for _ in range(100):
        note_error(loop, {"message": "accept failed", "exception": OSError(errno.EMFILE, "Too many open files")})
    loop.close()
    assert 0 < caplog.text.count("a client has to wait, found: Too many open files") < 10
    assert "Traceback" not in caplog.text


def test_accepting_again_after_the_end_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    async def accept_too_late() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(note_error)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            pass
        loop.call_soon(loop._start_serving, asyncio.Protocol, listener)  # type: ignore[attr-defined]
        loop.call_soon(lambda: 1 / 0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(accept_too_late())
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError]

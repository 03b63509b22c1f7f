"""Which messages are sent and when, by an injected clock; parsed by pymavlink."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymavlink.dialects.v20 import common

from edge_fer.publish.attitude import Attitude
from edge_fer.publish.mavlink import tunnel_track
from edge_fer.publish.mavlink.autopilot import HEARTBEAT_TIMEOUT_S, Autopilot
from edge_fer.publish.mavlink.budget import Budget
from edge_fer.publish.mavlink.computer import OnboardComputer
from edge_fer.publish.mavlink.faults import ERROR
from edge_fer.publish.mavlink.scheduler import MessageScheduler
from edge_fer.publish.mavlink.topics import values
from edge_fer.publish.mavlink.tunnel import PAYLOAD_TYPE, decode
from edge_fer.schema import Reading, Record
from edge_fer.settings import MavlinkSettings
from tests.support.mavlink_peer import SYSTEM, Jitter, crowd
from tests.support.records import make_face_reading, make_reading, make_status, make_track

S = 10**9
START = 5000 * S


class Line:
    """A scheduler, its clock, and the messages it sent, each with its time in seconds and its size in bytes."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.now_ns = START
        self.settings = MavlinkSettings(system_id=SYSTEM, **changes)
        self.scheduler = MessageScheduler(self.settings, common, lambda: self.now_ns, OnboardComputer(folder, folder))
        self.calls = 0
        self.sent: list[tuple[float, int, Any]] = []
        self._parser = common.MAVLink(None)
        self.autopilot = common.MAVLink(None, SYSTEM, 1)

    def run(self, seconds: float, fps: float = 30, record: Any = crowd, answers: Jitter | None = None) -> None:
        """Let time pass, a reading with every frame, listening all the while."""
        frames = int(seconds * fps)
        for frame in range(frames):
            if record is not None:
                self.scheduler.update(record(frame, captured_ns=self.now_ns))
            end = self.now_ns + round(S / fps)
            while self.now_ns < end:
                pause_s = self.send(answers)
                self.now_ns = min(self.now_ns + max(round(pause_s * S), 10_000), end)

    def send(self, answers: Jitter | None = None) -> float:
        packets, pause_s = self.scheduler.due_packets()
        self.calls += 1
        for packet in packets:
            (message,) = self._parser.parse_buffer(packet)
            self.sent.append(((self.now_ns - START) / S, len(packet), message))
            if answers is not None and message.get_type() == "TIMESYNC" and message.tc1 == 0:
                theirs, self.now_ns = answers.exchange(self.now_ns)
                self.scheduler.receive(self.from_autopilot(common.MAVLink_timesync_message(theirs, message.ts1)))
        return pause_s

    def from_autopilot(self, message: Any, system: int = SYSTEM, component: int = 1) -> bytes:
        return bytes(message.pack(common.MAVLink(None, system, component)))

    def autopilot_heartbeat(self) -> None:
        self.scheduler.receive(self.from_autopilot(common.MAVLink_heartbeat_message(2, 3, 0, 0, 4, 3)))

    def all(self, kind: str) -> list[Any]:
        return [message for _, _, message in self.sent if message.get_type() == kind]


@pytest.fixture
def line(tmp_path: Path) -> Line:
    return Line(tmp_path)


def most_in_a_second(sent: list[tuple[float, int, Any]]) -> int:
    times = [(at, size) for at, size, _ in sent]
    return max(sum(size for at, size in times if start <= at < start + 1) for start, _ in times)


def test_four_faces_at_thirty_a_second_stay_within_a_kilobyte_in_every_second(line: Line) -> None:
    line.run(30)
    assert most_in_a_second(line.sent) <= 1000
    assert sum(size for _, size, _ in line.sent) > 0.7 * 30_000, "and what the budget holds is used"
    assert len(line.all("HEARTBEAT")) in {30, 31}


@pytest.mark.parametrize("bytes_per_s", [500, 1000, 5000])
def test_every_face_is_told_as_often_as_every_other(tmp_path: Path, bytes_per_s: int) -> None:
    line = Line(tmp_path, bytes_per_s=bytes_per_s)
    line.run(20)
    told = Counter(decode(message.payload).id for message in line.all("TUNNEL"))
    assert set(told) == {100, 101, 102, 103}
    assert max(told.values()) - min(told.values()) <= 1
    assert 0 <= 20 * 30 * 4 - told.total() - line.scheduler.left_out <= 4, "but for the last frame, every face counts"
    assert most_in_a_second(line.sent) <= bytes_per_s


def test_a_face_that_flickers_takes_no_turn_of_the_others(line: Line) -> None:
    def record(frame: int, captured_ns: int) -> Reading:
        whole = crowd(frame, captured_ns=captured_ns)
        return whole if frame % 2 else replace(whole, faces=whole.faces[1:])

    line.run(30, record=record)
    told = Counter(decode(message.payload).id for message in line.all("TUNNEL"))
    assert told[100] <= min(told[101], told[102], told[103]) + 1


def test_with_room_for_all_nothing_is_left_out(tmp_path: Path) -> None:
    line = Line(tmp_path, bytes_per_s=100_000)
    line.run(5)
    frames = Counter(decode(message.payload).frame for message in line.all("TUNNEL"))
    assert frames == dict.fromkeys(range(150), 4)
    assert line.scheduler.left_out == 0


def test_what_is_told_is_of_the_newest_frame(line: Line) -> None:
    line.run(10)
    ages = [decode(message.payload).age_ms for message in line.all("TUNNEL")]
    assert max(ages) <= 34


def test_a_frame_without_faces_is_seen_in_the_values_alone(line: Line) -> None:
    line.run(3, record=lambda frame, captured_ns: make_reading(frame, (), captured_ns))
    assert not line.all("TUNNEL")
    shown = {message.name: message.value for message in line.all("NAMED_VALUE_FLOAT")}
    assert shown == {"fer_faces": 0.0, "fer_label": -1.0, "fer_conf": 0.0}


def test_numbers_run_on_from_message_to_message(line: Line) -> None:
    line.run(60)
    numbers = [message.get_seq() for _, _, message in line.sent]
    assert len(numbers) > 256
    assert numbers == [number % 256 for number in range(len(numbers))]
    assert {(m.get_srcSystem(), m.get_srcComponent()) for _, _, m in line.sent} == {(SYSTEM, 191)}


def test_heartbeats_come_once_a_second_whatever_else_there_is_to_say(line: Line) -> None:
    line.run(20)
    at = [at for at, _, message in line.sent if message.get_type() == "HEARTBEAT"]
    assert all(0.95 < later - earlier < 1.05 for earlier, later in itertools.pairwise(at))
    heartbeat = line.all("HEARTBEAT")[-1]
    assert (heartbeat.type, heartbeat.autopilot, heartbeat.base_mode, heartbeat.custom_mode) == (18, 8, 0, 0)
    assert heartbeat.mavlink_version == 3


@pytest.mark.parametrize(
    ("record", "state"),
    [
        (make_status("starting"), common.MAV_STATE_BOOT),
        (make_status("running"), common.MAV_STATE_ACTIVE),
        (make_status("degraded"), common.MAV_STATE_ACTIVE),
        (make_reading(), common.MAV_STATE_ACTIVE),
        (make_status("waiting_for_camera"), common.MAV_STATE_STANDBY),
        (make_status("stopping"), common.MAV_STATE_STANDBY),
    ],
)
def test_the_heartbeat_shows_the_state(line: Line, record: Record, state: int) -> None:
    line.scheduler.update(record)
    line.send()
    assert line.all("HEARTBEAT")[0].system_status == state


def test_nothing_is_said_in_silence_but_that_we_are_there(line: Line) -> None:
    """And the loop is not busy meanwhile: one call a second."""
    line.run(9.1, fps=1, record=None)
    assert line.calls <= 9 + 3
    assert {message.get_type() for _, _, message in line.sent} == {"HEARTBEAT", "ONBOARD_COMPUTER_STATUS"}


def test_a_fault_goes_before_the_faces(line: Line) -> None:
    line.run(5)
    line.sent.clear()
    line.scheduler.update(make_status("waiting_for_camera", "no frame from 0 for 5 s, which is a long story " * 5))
    line.run(1, record=None)
    kinds = [message.get_type() for _, _, message in line.sent]
    assert "TUNNEL" not in kinds[: kinds.index("STATUSTEXT") + 3]
    texts = line.all("STATUSTEXT")
    assert [text.chunk_seq for text in texts] == [0, 1, 2]
    assert {(text.id, text.severity) for text in texts} == {(1, ERROR)}
    assert "".join(text.text for text in texts).startswith("FER camera lost: no frame from 0 for 5 s, which is")


def test_a_short_text_is_one_message(line: Line) -> None:
    line.scheduler.update(make_status("waiting_for_camera", "no camera"))
    line.run(0.5, record=None)
    (text,) = line.all("STATUSTEXT")
    assert (text.text, text.id, text.chunk_seq) == ("FER camera lost: no camera", 0, 0)


def test_values_are_of_the_largest_face_that_has_a_label() -> None:
    faces = crowd(1).faces
    assert values(faces) == {"fer_faces": 4, "fer_label": 3, "fer_conf": 0.93}
    unsure = replace(faces[3], label=None, why="unsure")
    near = replace(faces[2], label="anger", confidence=0.5)
    assert values((faces[0], near, unsure)) == {"fer_faces": 3, "fer_label": 0, "fer_conf": 0.5}
    assert values((unsure,)) == {"fer_faces": 1, "fer_label": -1, "fer_conf": 0}
    assert all(len(name) <= 10 for name in values(()))


def test_values_come_together_and_at_their_pace(tmp_path: Path) -> None:
    line = Line(tmp_path, values_s=2.0)
    line.run(9)
    shown = line.all("NAMED_VALUE_FLOAT")
    assert [message.name for message in shown] == ["fer_faces", "fer_label", "fer_conf"] * 5
    for number in range(0, 15, 3):
        assert len({message.time_boot_ms for message in shown[number : number + 3]}) == 1
    assert 0 <= shown[0].time_boot_ms - START // 10**6 < 100


def test_the_budget_holds_for_any_sizes_at_any_times() -> None:
    @given(st.lists(st.tuples(st.floats(0, 0.5), st.integers(1, 252)), max_size=200))
    @settings(max_examples=40)
    def holds(wishes: list[tuple[float, int]]) -> None:
        budget, now, sent = Budget(1000, 252, 0.0), 0.0, []
        for pause, size in wishes:
            now += pause
            now += budget.wait_s(size, now) + 1e-9
            assert budget.wait_s(size, now) < 1e-6, "so long was enough"
            budget.take(size, now)
            sent.append((now, size))
        for start, _ in sent:
            assert sum(size for at, size in sent if start <= at < start + 1) <= 1000 + 1e-3

    holds()


def test_it_asks_an_autopilot_for_its_time_and_tells_it_with_each_face(line: Line) -> None:
    way = Jitter(-4000 * S, 2_000_000, 5_000_000)
    for _ in range(20):
        line.autopilot_heartbeat()
        line.run(1, answers=way)
    faces = [decode(message.payload) for message in line.all("TUNNEL")]
    assert faces[0].fc_captured_us is None
    # Frame and capture time belong together: 30 frames a second from the start on, but for the way of the answers.
    for face in faces[-4:]:
        assert face.fc_captured_us is not None
        captured_ns = line.now_ns - face.age_ms * 10**6
        assert abs(face.fc_captured_us * 1000 - (captured_ns - 4000 * S)) < 2 * S
    assert len(line.all("TIMESYNC")) in {19, 20, 21}


def test_the_time_told_is_the_autopilots_to_milliseconds(line: Line) -> None:
    way = Jitter(-4000 * S, 2_000_000, 3_000_000)
    captured: dict[int, int] = {}

    def record(frame: int, captured_ns: int) -> Reading:
        number = len(captured)
        captured[number] = captured_ns
        return crowd(number, captured_ns=captured_ns)

    for _ in range(20):
        line.autopilot_heartbeat()
        line.run(1, record=record, answers=way)
    told = [face for face in (decode(m.payload) for m in line.all("TUNNEL")) if face.fc_captured_us is not None]
    assert len(told) > 50
    for face in told:
        assert face.fc_captured_us is not None
        assert abs(face.fc_captured_us * 1000 - (captured[face.frame] - 4000 * S)) < 3_000_000


@pytest.mark.parametrize(("system", "autopilot"), [(SYSTEM + 1, 3), (SYSTEM, common.MAV_AUTOPILOT_INVALID)])
def test_another_vehicle_and_another_computer_are_not_asked(line: Line, system: int, autopilot: int) -> None:
    heartbeat = common.MAVLink_heartbeat_message(2, autopilot, 0, 0, 4, 3)
    line.scheduler.receive(line.from_autopilot(heartbeat, system))
    line.run(3, record=None)
    assert not line.all("TIMESYNC")


def test_an_autopilot_that_fell_silent_is_not_asked(line: Line) -> None:
    line.autopilot_heartbeat()
    line.run(20, record=None)
    assert 5 <= len(line.all("TIMESYNC")) <= HEARTBEAT_TIMEOUT_S + 1


def test_an_answer_of_somebody_else_is_not_the_autopilots(line: Line) -> None:
    for _ in range(10):
        line.autopilot_heartbeat()
        line.run(1, record=None)
        question = line.all("TIMESYNC")[-1]
        answer = common.MAVLink_timesync_message(7, question.ts1)
        line.scheduler.receive(line.from_autopilot(answer, component=77))
    line.run(1)
    assert {decode(message.payload).fc_captured_us for message in line.all("TUNNEL")} == {None}


GIMBAL = 154


def fly(line: Line, answering: tuple[int, ...], claiming: tuple[int, ...], seconds: int = 10) -> set[int | None]:
    """Components claim to be an autopilot, the last one last; the clock of each that answers is its number of hours.

    Returns the hours of the clock that faces are told with, None where they have none.
    """
    begin = len(line.sent)
    for _ in range(seconds):
        for component in claiming:
            heartbeat = common.MAVLink_heartbeat_message(26, 3, 0, 0, 4, 3)
            line.scheduler.receive(line.from_autopilot(heartbeat, component=component))
        line.run(1, fps=5)
        asked = [message for _, _, message in line.sent[begin:] if message.get_type() == "TIMESYNC"][-1]
        line.now_ns = asked.ts1 + 1000
        for component in answering:
            answer = common.MAVLink_timesync_message(asked.ts1 + component * 3600 * S, asked.ts1)
            line.scheduler.receive(line.from_autopilot(answer, component=component))
        line.now_ns = asked.ts1 + S
    told = [decode(m.payload) for _, _, m in line.sent[begin:] if m.get_type() == "TUNNEL"][-5:]
    return {
        None if face.fc_captured_us is None else round((face.fc_captured_us - START / 1000) / 3.6e9) for face in told
    }


@pytest.mark.parametrize(
    ("answering", "claiming", "hours"),
    [
        ((1,), (1, GIMBAL), 1),
        ((1,), (GIMBAL, 1), 1),
        ((1, GIMBAL), (1, GIMBAL), 1),
        ((GIMBAL,), (1, GIMBAL), None),  # better no time than another device's
        ((5,), (5, GIMBAL), 5),
        ((5,), (GIMBAL, 5), 5),  # there is no component 1: the one that answers
        ((5,), (5,), 5),
    ],
)
def test_the_flight_controller_is_component_1_or_the_one_that_answers(
    line: Line, answering: tuple[int, ...], claiming: tuple[int, ...], hours: int | None
) -> None:
    assert fly(line, answering, claiming) == {hours}


def test_a_second_component_that_claims_to_be_the_autopilot_is_told_once(
    line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    fly(line, (1,), (GIMBAL, 1))
    (record,) = caplog.records
    assert record.getMessage() == (
        f"mavlink: components 1, 154 of system {SYSTEM} all claim to be an autopilot, and component 1 is followed; "
        "let the others send MAV_AUTOPILOT_INVALID"
    )


def test_a_flight_controller_that_restarts_is_not_replaced_by_a_gimbal(line: Line) -> None:
    assert fly(line, (1,), (1, GIMBAL)) == {1}
    for _ in range(20):
        line.scheduler.receive(line.from_autopilot(common.MAVLink_heartbeat_message(26, 3, 0, 0, 4, 3), SYSTEM, GIMBAL))
        line.run(1, fps=3)
    assert decode(line.all("TUNNEL")[-1].payload).fc_captured_us is None
    assert fly(line, (1,), (1, GIMBAL)) == {1}


@pytest.mark.parametrize("roll", [math.nan, math.inf, -math.inf, 1e30])
def test_an_attitude_that_is_none_is_ignored(tmp_path: Path, roll: float) -> None:
    attitude = Attitude()
    autopilot = Autopilot(common, SYSTEM, 50_000_000, attitude)
    parser = common.MAVLink(None)
    sender = common.MAVLink(None, SYSTEM, 1)
    for number, message in enumerate(
        (
            common.MAVLink_heartbeat_message(2, 3, 0, 0, 4, 3),
            common.MAVLink_attitude_message(0, math.radians(20), 0, 0, 0, 0, 0),
            common.MAVLink_attitude_message(0, roll, 0, 0, 0, 0, 0),
        )
    ):
        (received,) = parser.parse_buffer(message.pack(sender))
        autopilot.receive(received, START + number)
    assert attitude.roll_deg(START) == pytest.approx(20, abs=0.01)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["heartbeat", "timesync", "attitude", "statustext", "tunnel"]),
            st.sampled_from([1, 5, GIMBAL]),
            st.binary(min_size=160, max_size=160),
        ),
        max_size=5,
    )
)
@settings(max_examples=60)
def test_whatever_is_in_a_message_of_the_vehicle_is_coped_with(messages: list[tuple[str, int, bytes]]) -> None:
    """Right checksums, and any content: values that are no numbers, times at the end of their range, broken text."""
    line = Line(Path("/nonexistent"))
    for kind, component, content in messages:
        made, sender = getattr(common, f"MAVLink_{kind}_message"), common.MAVLink(None, SYSTEM, component)
        message = common.MAVLink_message(made.id, made.msgname)
        line.scheduler.receive(bytes(message._pack(sender, made.crc_extra, content[: made.unpacker.size])))
        line.run(0.1)
    line.run(1, fps=5)
    assert most_in_a_second(line.sent) <= 1000


def test_it_answers_whoever_asks_for_the_time_but_not_without_end(line: Line) -> None:
    for number in range(100):  # seven a second; PX4 asks ten times
        line.scheduler.receive(line.from_autopilot(common.MAVLink_timesync_message(0, 1000 + number), component=5))
        line.run(4 / 30)
    answers = line.all("TIMESYNC")
    assert len(answers) == 50
    assert answers[0].ts1 == 1000
    assert answers[0].tc1 == START
    assert most_in_a_second(line.sent) <= 1000
    assert line.all("TUNNEL"), "the faces have their turn, too"


def tracks(line: Line) -> list[int]:
    """Ids of the faces that have left, as they were told."""
    found = [message for message in line.all("TUNNEL") if message.payload_type == tunnel_track.PAYLOAD_TYPE]
    return [tunnel_track.decode(message.payload).id for message in found]


def test_a_face_that_has_left_is_told_once_before_those_in_view(line: Line) -> None:
    line.run(2)
    begin = len(line.sent)
    for number in (1, 2, 3):
        line.scheduler.update(make_track(number))
    line.run(5)
    assert tracks(line) == [1, 2, 3]
    tunnels = [message.payload_type for _, _, message in line.sent[begin:] if message.get_type() == "TUNNEL"]
    assert tunnels[:3] == [tunnel_track.PAYLOAD_TYPE] * 3
    assert PAYLOAD_TYPE in tunnels
    assert most_in_a_second(line.sent) <= 1000
    assert line.scheduler.left_out_tracks == 0


def test_a_face_that_has_left_says_nothing_of_the_box(line: Line) -> None:
    line.scheduler.update(make_status("waiting_for_camera", "no camera"))
    line.scheduler.update(make_track())
    line.run(3, record=None)
    assert {message.system_status for message in line.all("HEARTBEAT")} == {common.MAV_STATE_STANDBY}
    assert [message.text for message in line.all("STATUSTEXT")] == ["FER camera lost: no camera"]


def test_more_faces_leave_than_the_budget_has_room_for(line: Line) -> None:
    for number in range(100):
        line.scheduler.update(make_track(number))
    assert line.scheduler.left_out_tracks == 100, "so far"
    line.run(30)
    assert tracks(line) == list(range(36, 100)), "the newest ones"
    assert line.scheduler.left_out_tracks == 36
    assert most_in_a_second(line.sent) <= 1000


def test_a_new_listener_hears_of_no_face_long_gone(line: Line) -> None:
    line.scheduler.update(crowd(1, captured_ns=line.now_ns))
    line.scheduler.update(make_track())
    line.scheduler.update(make_status("waiting_for_camera", "no camera"))
    line.scheduler.on_link_up()
    line.run(1, record=None)
    assert not line.all("TUNNEL")
    assert len(line.all("STATUSTEXT")) == 1
    line.scheduler.on_link_up()
    line.run(1, record=None)
    assert len(line.all("STATUSTEXT")) == 2


@given(st.lists(st.binary(max_size=300), max_size=20))
@settings(max_examples=200)
def test_noise_is_passed_over(pieces: list[bytes]) -> None:
    line = Line(Path("/nonexistent"))
    for piece in pieces:
        line.scheduler.receive(piece)
        line.scheduler.receive(b"\xfd" + piece)
    line.scheduler.receive(bytes(600))  # whatever a piece of noise has announced as its length is over by now
    line.autopilot_heartbeat()
    line.autopilot_heartbeat()
    line.run(1, record=None)
    assert line.all("TIMESYNC")


def test_a_stream_that_never_ends_with_a_whole_message_is_let_go_of(line: Line) -> None:
    heartbeat = line.from_autopilot(common.MAVLink_heartbeat_message(2, 3, 0, 0, 4, 3))
    stream = heartbeat * 20_000
    line.scheduler.receive(stream[:5])
    for start in range(5, len(stream) - 4096, len(heartbeat) * 100):
        line.scheduler.receive(stream[start : start + len(heartbeat) * 100])
    assert len(line.scheduler._mav.buf) < 100_000


def test_temperature_load_and_memory_are_told(tmp_path: Path) -> None:
    zone = tmp_path / "class" / "thermal" / "thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text("cpu-thermal\n")
    (zone / "temp").write_text("61400\n")
    apex = tmp_path / "class" / "apex" / "apex_0"
    apex.mkdir(parents=True)
    (apex / "temp").write_text("71000\n")
    (tmp_path / "meminfo").write_text("MemTotal: 4194304 kB\nMemFree: 1 kB\nMemAvailable: 3145728 kB\n")
    stat = tmp_path / "stat"
    stat.write_text("cpu 0 0 0 0\ncpu0 10 0 10 100 0 0 0 0 9 9\ncpu1 0 0 0 100 0 0 0 0\nintr 5\n")
    line = Line(tmp_path)
    stat.write_text("cpu 0 0 0 0\ncpu0 25 5 15 150 25 0 0 0 99 9\ncpu1 0 0 0 100 0 0 0 0\nintr 5\n")
    line.scheduler.update(
        replace(make_status(), throttled=("under_voltage", "capped", "throttled", "soft_limit_since_boot"))
    )
    line.run(0.5, record=None)
    (told,) = line.all("ONBOARD_COMPUTER_STATUS")
    assert told.cpu_cores == [25] + [255] * 7, "25 of 100 ticks; the other core's did not move"
    assert told.temperature_core == [61] + [127] * 7
    assert told.temperature_board == 71
    assert (told.ram_total, told.ram_usage) == (4096, 1024)
    assert 0 <= told.time_usec - START // 1000 < 100_000
    assert told.uptime == told.time_usec // 1000
    assert told.status_flags == common.COMPUTER_STATUS_FLAGS_UNDER_VOLTAGE | common.COMPUTER_STATUS_FLAGS_CPU_THROTTLE


def test_what_is_not_known_of_the_box_says_so(line: Line) -> None:
    line.run(0.5, record=None)
    (told,) = line.all("ONBOARD_COMPUTER_STATUS")
    for name in ("cpu_cores", "cpu_combined", "gpu_cores", "gpu_combined"):
        assert set(getattr(told, name)) == {255}
    assert told.temperature_board == 127
    assert set(told.temperature_core) == {127}
    assert set(told.fan_speed) == {32_767}
    for name in ("storage_type", "storage_usage", "storage_total", "link_tx_rate", "link_rx_rate", "link_tx_max"):
        assert set(getattr(told, name)) == {2**32 - 1}
    assert told.ram_usage == told.ram_total == 2**32 - 1
    assert told.type == 0


def test_an_unread_face_is_told(line: Line) -> None:
    unread = replace(make_face_reading(None, "not_read_yet"), confidence=0.0, probabilities={}, label_age_ms=None)
    line.run(1, record=lambda frame, captured_ns: make_reading(frame, (unread,), captured_ns))
    message = line.all("TUNNEL")[0]
    assert message.payload_type == PAYLOAD_TYPE == line.settings.payload_type
    assert (message.target_system, message.target_component) == (0, 0)
    assert decode(message.payload[: message.payload_length]).why == "not_read_yet"

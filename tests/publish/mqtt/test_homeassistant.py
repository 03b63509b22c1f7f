from __future__ import annotations

import itertools
import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_fer.publish.mqtt.homeassistant import Summary, discovery
from edge_fer.publish.mqtt.sink import Mqtt
from edge_fer.schema import Record, to_json
from edge_fer.settings import MqttSettings
from edge_fer.types import LABELS, Box
from tests.support import ROOT
from tests.support.brokers import Broker, Reader, closing_all, need_mosquitto, scripted
from tests.support.records import make_face_reading, make_reading, make_status, make_track
from tests.support.waiting import wait_until

TOPICS = SUMMARY, STATE, AVAILABILITY = tuple(
    f"edge-fer/drone-7/{name}" for name in ("summary", "state", "availability")
)
DOCUMENT = ROOT / "docs" / "mqtt.md"


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    need_mosquitto()
    with ExitStack() as stack:
        yield stack


def summarise(*records: Record, temperatures: Mapping[str, float] | None = None) -> dict[str, Any]:
    """What is shown after these records, each a second after the other."""
    seconds = itertools.count()
    summary, shown = Summary(lambda: temperatures or {}, lambda: next(seconds)), None
    for record in records:
        shown = summary.take(record)
    assert shown is not None
    return json.loads(shown)


def test_one_device_with_five_entities_is_announced() -> None:
    """What Home Assistant's documentation of MQTT discovery demands of each message."""
    messages = list(discovery("drone-7", "homeassistant", *TOPICS))
    contents = {message.topic: json.loads(message.payload) for message in messages}
    assert list(contents) == [
        "homeassistant/sensor/edge_fer_drone-7/expression/config",
        "homeassistant/sensor/edge_fer_drone-7/state/config",
        "homeassistant/sensor/edge_fer_drone-7/fps/config",
        "homeassistant/sensor/edge_fer_drone-7/temperature/config",
        "homeassistant/binary_sensor/edge_fer_drone-7/availability/config",
    ]
    assert len({content["unique_id"] for content in contents.values()}) == 5
    assert {tuple(content["device"]["identifiers"]) for content in contents.values()} == {("edge_fer_drone-7",)}
    assert all(content["origin"]["name"] == "edge-fer" for content in contents.values())
    expression, state, fps, temperature, availability = contents.values()
    assert expression["device_class"] == "enum"
    assert expression["options"] == [*LABELS, "none"]
    for sensor in (expression, fps, temperature):
        assert (sensor["state_topic"], sensor["availability_topic"]) == (SUMMARY, AVAILABILITY)
    assert (state["state_topic"], state["availability_topic"]) == (STATE, AVAILABILITY)
    assert (state["device_class"], state["entity_category"]) == ("enum", "diagnostic")
    assert state["options"] == ["starting", "running", "waiting_for_camera", "degraded", "stopping"]
    assert (temperature["device_class"], temperature["unit_of_measurement"]) == ("temperature", "°C")
    assert fps["state_class"] == temperature["state_class"] == "measurement"
    assert (availability["state_topic"], availability["device_class"]) == (AVAILABILITY, "connectivity")
    assert (availability["payload_on"], availability["payload_off"]) == ("online", "offline")
    assert "availability_topic" not in availability


def test_templates_name_fields_of_what_stands_on_their_topics() -> None:
    found = {SUMMARY: summarise(make_reading()), STATE: json.loads(to_json(make_status()))}
    named = []
    for message in discovery("drone-7", "homeassistant", *TOPICS):
        content = json.loads(message.payload)
        for template, topic in (
            ("value_template", "state_topic"),
            ("json_attributes_template", "json_attributes_topic"),
        ):
            for field in re.findall(r"value_json\.(\w+)", content.get(template, "")):
                assert field in found[content[topic]]
                named.append(field)
    assert named == ["label", "state", "message", "fps", "temperature"]


def test_ids_are_made_of_what_topics_allow_and_stay_apart() -> None:
    ids = set()
    for device in ("Küche/oben +1", "Kuche_oben__1", "Tür", "Tör", "T_r"):
        for message in discovery(device, "homeassistant", *TOPICS):
            content = json.loads(message.payload)
            assert re.fullmatch(r"homeassistant/\w+/edge_fer_[A-Za-z0-9_-]+/\w+/config", message.topic)
            assert content["device"]["name"] == device
            assert message.topic.split("/")[2] == content["device"]["identifiers"][0]
            ids |= {message.topic, content["unique_id"]}
    assert len(ids) == 5 * 5 * 2
    assert "edge_fer_T_r_state" in ids, "a plain name stays as it is"


def test_the_face_closest_to_the_camera_is_summed_up() -> None:
    near, far = make_face_reading("happiness"), make_face_reading("anger")
    far = replace(far, box=Box(0, 0, 20, 20))
    found = summarise(make_reading(faces=(far, near)), temperatures={"0:cpu": 51.5, "apex_0": 62.0})
    assert found == {"label": "happiness", "confidence": 0.93, "faces": 2, "fps": 29.9, "temperature": 62.0}


@pytest.mark.parametrize("record", [make_reading(), make_reading(faces=(make_face_reading(None, "blurred"),))])
def test_no_face_no_label(record: Record) -> None:
    found = summarise(record)
    assert (found["label"], found["confidence"], found["temperature"]) == (None, None, None)


@pytest.mark.parametrize(
    ("state", "label"),
    [
        ("running", "happiness"),
        ("degraded", "happiness"),
        ("starting", None),
        ("waiting_for_camera", None),
        ("stopping", None),
    ],
)
def test_a_status_takes_the_label_away_only_where_no_frames_come(state: str, label: str | None) -> None:
    """One comes every two seconds at least, whatever there is to see."""
    found = summarise(make_reading(faces=(make_face_reading(),)), make_status(state))
    assert (found["label"], found["faces"]) == (label, int(label is not None))


def test_a_face_that_has_left_changes_nothing_of_what_is_in_view() -> None:
    summary = Summary(dict, itertools.count().__next__)
    assert summary.take(make_track()) is None
    summary.take(make_reading(faces=(make_face_reading(),)))
    assert summary.take(make_track(label="fear")) is None
    shown = summary.take(make_status())
    assert shown is not None
    assert json.loads(shown)["label"] == "happiness"


def test_discovery_comes_again_when_home_assistant_starts(stack: ExitStack, tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    stack.enter_context(closing_all(broker))
    reader = Reader(broker.port, "homeassistant/#", tmp_path)
    stack.enter_context(closing_all(reader))
    wait_until(lambda: "Sending SUBACK" in broker.log)
    settings = MqttSettings(host="127.0.0.1", port=broker.port, homeassistant=True)
    stack.enter_context(closing(Mqtt(settings, "drone-7", temperatures=lambda: {"0:cpu": 50.0})))
    wait_until(lambda: len(reader.lines) == 5 and broker.log.count("Sending SUBACK") == 2)
    birth = ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(broker.port), "-t", "homeassistant/status", "-m"]
    subprocess.run([*birth, "offline"], check=True, timeout=10)
    subprocess.run([*birth, "online"], check=True, timeout=10)
    wait_until(lambda: len(reader.lines) == 5 + 2 + 5)
    assert [line[1:] for line in reader.lines[:5]] == [line[1:] for line in reader.lines[7:]]
    late = Reader(broker.port, "homeassistant/+/+/+/config", tmp_path)
    stack.enter_context(closing_all(late))
    wait_until(lambda: len(late.lines) == 5)
    assert all(retained for retained, _, _ in late.lines)


def test_the_summary_comes_once_a_second_and_with_each_status(stack: ExitStack, tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    stack.enter_context(closing_all(broker))
    reader = Reader(broker.port, SUMMARY, tmp_path)
    stack.enter_context(closing_all(reader))
    wait_until(lambda: "Sending SUBACK" in broker.log)
    now = [0.0]
    settings = MqttSettings(host="127.0.0.1", port=broker.port, homeassistant=True)
    sink = stack.enter_context(closing(Mqtt(settings, "drone-7", clock=lambda: now[0], temperatures=dict)))
    for frame in range(60):
        now[0] = frame / 30
        sink.publish(make_reading(frame, faces=(make_face_reading(),)), None)
        wait_until(lambda least=frame + 1: sink.condition.sent == least)
    sink.publish(make_status("waiting_for_camera"), None)
    wait_until(lambda: len(reader.lines) == 3)
    assert [json.loads(payload)["label"] for payload in reader.payloads(SUMMARY)] == ["happiness", "happiness", None]


@pytest.mark.slow
def test_what_is_left_of_a_renamed_box_goes_as_documented(stack: ExitStack, tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    stack.enter_context(closing_all(broker))
    for device in ("Tür", "drone-7"):
        settings = MqttSettings(host="127.0.0.1", port=broker.port, homeassistant=True)
        with closing(Mqtt(settings, device, temperatures=dict)) as sink:
            sink.publish(make_status(), None)
            wait_until(lambda sink=sink: sink.condition.sent == 1)
    look, *remove = re.findall("^    (mosquitto_sub .*)$", DOCUMENT.read_text(), re.MULTILINE)

    def run(command: str) -> list[str]:
        here = command.replace("broker.example", f"127.0.0.1 -p {broker.port}").replace("-W 2", "-W 1")
        done = subprocess.run(["sh", "-c", here], check=False, capture_output=True, text=True, timeout=10)
        assert (done.returncode, done.stderr) == (27, "Timed out\n"), "mosquitto_sub says so at the end of -W"
        return done.stdout.splitlines()

    (old,) = {line.split("/")[2] for line in run(look) if '"name": "Tür"' in line}
    assert old == "edge_fer_T_r_1cff8a95"
    for command in remove:
        run(command.replace("edge_fer_OLD", old).replace("OLD", "Tür"))
    reader = Reader(broker.port, "#", tmp_path)
    stack.enter_context(closing_all(reader))
    wait_until(lambda: len(reader.lines) == 5 + 3)
    assert all("drone-7" in topic for _, topic, _ in reader.lines)


def test_a_birth_that_may_not_be_read_is_told(stack: ExitStack) -> None:
    refusal = bytes((0x90, 4, 0, 1, 0, 0x87))
    port = stack.enter_context(scripted(b"\x20\x03\0\0\0" + refusal))
    settings = MqttSettings(host="127.0.0.1", port=port, homeassistant=True)
    sink = stack.enter_context(closing(Mqtt(settings, "drone-7")))
    wait_until(lambda: "homeassistant/status, found: not authorized" in str(sink.condition.reason))
    assert sink.condition.state == "failed"

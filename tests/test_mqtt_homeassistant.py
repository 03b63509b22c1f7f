from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest

from edge_fer.publish.mqtt.homeassistant import discovery, summarise
from edge_fer.publish.mqtt.sink import Mqtt
from edge_fer.settings import MqttSettings
from edge_fer.types import LABELS, Box
from tests.brokers import Broker, Reader, closing_all, need_mosquitto, scripted, wait_until
from tests.conftest import make_face_reading, make_reading, make_status

SUMMARY, AVAILABILITY = "edge-fer/drone-7/summary", "edge-fer/drone-7/availability"


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    need_mosquitto()
    with ExitStack() as stack:
        yield stack


def test_one_device_with_four_entities_is_announced() -> None:
    """What Home Assistant's documentation of MQTT discovery demands of each message."""
    messages = list(discovery("drone-7", "homeassistant", SUMMARY, AVAILABILITY))
    contents = {message.topic: json.loads(message.payload) for message in messages}
    assert list(contents) == [
        "homeassistant/sensor/edge_fer_drone-7/expression/config",
        "homeassistant/sensor/edge_fer_drone-7/fps/config",
        "homeassistant/sensor/edge_fer_drone-7/temperature/config",
        "homeassistant/binary_sensor/edge_fer_drone-7/availability/config",
    ]
    assert len({content["unique_id"] for content in contents.values()}) == 4
    assert {tuple(content["device"]["identifiers"]) for content in contents.values()} == {("edge_fer_drone-7",)}
    assert all(content["origin"]["name"] == "edge-fer" for content in contents.values())
    expression, fps, temperature, availability = contents.values()
    assert expression["device_class"] == "enum"
    assert expression["options"] == [*LABELS, "none"]
    for sensor in (expression, fps, temperature):
        assert (sensor["state_topic"], sensor["availability_topic"]) == (SUMMARY, AVAILABILITY)
    assert (temperature["device_class"], temperature["unit_of_measurement"]) == ("temperature", "°C")
    assert fps["state_class"] == temperature["state_class"] == "measurement"
    assert (availability["state_topic"], availability["device_class"]) == (AVAILABILITY, "connectivity")
    assert (availability["payload_on"], availability["payload_off"]) == ("online", "offline")
    assert "availability_topic" not in availability


def test_templates_name_fields_of_the_summary() -> None:
    summary = json.loads(summarise(make_reading(), {}))
    for message in discovery("drone-7", "homeassistant", SUMMARY, AVAILABILITY):
        for field in re.findall(r"value_json\.(\w+)", json.loads(message.payload).get("value_template", "")):
            assert field in summary


def test_ids_are_made_of_what_topics_allow() -> None:
    for message in discovery("Küche/oben +1", "homeassistant", SUMMARY, AVAILABILITY):
        assert re.fullmatch(r"homeassistant/\w+/[A-Za-z0-9_-]+/\w+/config", message.topic)
        assert json.loads(message.payload)["device"]["name"] == "Küche/oben +1"


def test_the_face_closest_to_the_camera_is_summed_up() -> None:
    near, far = make_face_reading("happiness"), make_face_reading("anger")
    far = replace(far, box=Box(0, 0, 20, 20))
    found = json.loads(summarise(make_reading(faces=(far, near)), {"0:cpu": 51.5, "apex_0": 62.0}))
    assert found == {"label": "happiness", "confidence": 0.93, "faces": 2, "fps": 29.9, "temperature": 62.0}


def test_no_face_no_label() -> None:
    for record in (make_reading(), make_reading(faces=(make_face_reading(None, "blurred"),)), make_status()):
        found = json.loads(summarise(record, {}))
        assert (found["label"], found["confidence"], found["temperature"]) == (None, None, None)


def test_discovery_comes_again_when_home_assistant_starts(stack: ExitStack, tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    stack.enter_context(closing_all(broker))
    reader = Reader(broker.port, "homeassistant/#", tmp_path)
    stack.enter_context(closing_all(reader))
    wait_until(lambda: "Sending SUBACK" in broker.log)
    settings = MqttSettings(host="127.0.0.1", port=broker.port, homeassistant=True)
    stack.enter_context(closing(Mqtt(settings, "drone-7", temperatures=lambda: {"0:cpu": 50.0})))
    wait_until(lambda: len(reader.lines) == 4 and broker.log.count("Sending SUBACK") == 2)
    birth = ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(broker.port), "-t", "homeassistant/status", "-m"]
    subprocess.run([*birth, "offline"], check=True, timeout=10)
    subprocess.run([*birth, "online"], check=True, timeout=10)
    wait_until(lambda: len(reader.lines) == 4 + 2 + 4)
    assert [line[1:] for line in reader.lines[:4]] == [line[1:] for line in reader.lines[6:]]
    late = Reader(broker.port, "homeassistant/+/+/+/config", tmp_path)
    stack.enter_context(closing_all(late))
    wait_until(lambda: len(late.lines) == 4)
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


def test_a_birth_that_may_not_be_read_is_told(stack: ExitStack) -> None:
    refusal = bytes((0x90, 4, 0, 1, 0, 0x87))
    port = stack.enter_context(scripted(b"\x20\x03\0\0\0" + refusal))
    settings = MqttSettings(host="127.0.0.1", port=port, homeassistant=True)
    sink = stack.enter_context(closing(Mqtt(settings, "drone-7")))
    wait_until(lambda: "homeassistant/status, found: not authorized" in str(sink.condition.reason))
    assert sink.condition.state == "failed"

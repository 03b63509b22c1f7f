"""How Home Assistant finds a box over MQTT, and the few figures that it is shown.

Source: Home Assistant's documentation of MQTT discovery, sensors and binary sensors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

from edge_fer import __version__
from edge_fer.publish.mqtt.buffer import Message
from edge_fer.types import LABELS, FaceReading, Reading, Record

NO_LABEL = "none"
"""Shown where there is no face, or the runtime abstains."""


def discovery(device: str, prefix: str, summary: str, availability: str) -> Iterable[Message]:
    """What makes one device with four entities; to be published retained.

    Args:
        device: name of the box; the entities' ids are made of it, so that they outlive every start.
        prefix: of Home Assistant's discovery topics.
        summary: the topic of `summarise`.
        availability: the topic that says `online` or `offline`.
    """
    box = "edge_fer_" + re.sub(r"[^A-Za-z0-9_-]", "_", device)
    common = {
        "device": {"identifiers": [box], "name": device, "model": "edge-fer", "sw_version": __version__},
        "origin": {"name": "edge-fer", "sw_version": __version__},
    }
    figure: dict[str, object] = {"state_topic": summary, "availability_topic": availability}
    measured: dict[str, object] = {**figure, "state_class": "measurement"}
    entities: dict[tuple[str, str], dict[str, object]] = {
        ("sensor", "expression"): {
            **figure,
            "name": "Expression",
            "icon": "mdi:emoticon-outline",
            "device_class": "enum",
            "options": [*LABELS, NO_LABEL],
            "value_template": f"{{{{ value_json.label or '{NO_LABEL}' }}}}",
            "json_attributes_topic": summary,
        },
        ("sensor", "fps"): {
            **measured,
            "name": "Frame rate",
            "icon": "mdi:speedometer",
            "unit_of_measurement": "FPS",
            "value_template": "{{ value_json.fps }}",
            "entity_category": "diagnostic",
        },
        ("sensor", "temperature"): {
            **measured,
            "name": "Temperature",
            "device_class": "temperature",
            "unit_of_measurement": "°C",
            "value_template": "{{ value_json.temperature }}",
            "entity_category": "diagnostic",
        },
        ("binary_sensor", "availability"): {
            "name": "Availability",
            "device_class": "connectivity",
            "state_topic": availability,
            "payload_on": "online",
            "payload_off": "offline",
            "entity_category": "diagnostic",
        },
    }
    for (component, name), entity in entities.items():
        content = {"unique_id": f"{box}_{name}", **entity, **common}
        yield Message(f"{prefix}/{component}/{box}/{name}/config", json.dumps(content, ensure_ascii=False).encode())


def summarise(record: Record, temperatures: Mapping[str, float]) -> bytes:
    """A record in a few figures, as JSON.

    `label` and `confidence` are those of the largest face, the one closest to the camera; null where there is none or
    the runtime abstains. `temperature` is the hottest sensor's, degrees Celsius; null where there is no sensor.
    """
    faces = record.faces if isinstance(record, Reading) else ()
    face = max(faces, key=_area, default=None)
    label = face.label if face is not None else None
    content = {
        "label": label,
        "confidence": face.confidence if face is not None and label is not None else None,
        "faces": len(faces),
        "fps": record.fps,
        "temperature": max(temperatures.values(), default=None),
    }
    return json.dumps(content).encode()


def _area(face: FaceReading) -> float:
    return face.box.width * face.box.height

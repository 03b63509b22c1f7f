"""What Home Assistant needs to find a box over MQTT, and the few figures that it shows.

Source: Home Assistant's documentation of MQTT discovery, sensors and binary sensors.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import get_args

from edge_fer.common.version import VERSION
from edge_fer.publish.mqtt.buffer import Message
from edge_fer.publish.mqtt.identity import fitting
from edge_fer.schema import FaceReading, Reading, Record, State, TrackRecord
from edge_fer.types import LABELS

NO_LABEL = "none"
"""The state of the expression's entity where there is no face, or the runtime abstains."""

_INTERVAL_S = 1.0
_SEEING: set[State] = {"running", "degraded"}


def discovery(device: str, prefix: str, summary: str, state: str, availability: str) -> Iterable[Message]:
    """The messages that make one device with five entities; they are published retained.

    Args:
        device: the box's name; the entities' ids are made of it, so that they stay the same after a restart.
        prefix: the prefix of Home Assistant's discovery topics.
        summary: the topic of `Summary`.
        state: the topic of the newest status.
        availability: the topic with `online` or `offline`.
    """
    box = "edge_fer_" + fitting(device, r"[^A-Za-z0-9_-]")
    common = {
        "device": {"identifiers": [box], "name": device, "model": "edge-fer", "sw_version": VERSION},
        "origin": {"name": "edge-fer", "sw_version": VERSION},
    }
    shown: dict[str, object] = {"availability_topic": availability}
    figure: dict[str, object] = {**shown, "state_topic": summary}
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
        ("sensor", "state"): {
            **shown,
            "state_topic": state,
            "name": "State",
            "icon": "mdi:heart-pulse",
            "device_class": "enum",
            "options": list(get_args(State)),
            "value_template": "{{ value_json.state }}",
            "json_attributes_topic": state,
            "json_attributes_template": "{{ {'message': value_json.message} | tojson }}",
            "entity_category": "diagnostic",
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


class Summary:
    """A few figures on the run, once a second and with each status.

    The faces are those of the newest reading, until a status reports that there are no frames.

    Args:
        temperatures: gives degrees Celsius by sensor.
        clock: seconds that never go backwards.
    """

    def __init__(self, temperatures: Callable[[], Mapping[str, float]], clock: Callable[[], float]) -> None:
        self._temperatures, self._clock = temperatures, clock
        self._faces: Sequence[FaceReading] = ()
        self._next_s = -math.inf

    def take(self, record: Record) -> bytes | None:
        """Take the next record of the run.

        Returns:
            The figures to publish, as JSON; None: none are due. `label` and `confidence` are those of the largest face,
            the one closest to the camera; null where there is none or the runtime abstains. `temperature` is the
            hottest sensor's, degrees Celsius; null where there is no sensor.
        """
        if isinstance(record, TrackRecord):
            return None
        if isinstance(record, Reading):
            self._faces = record.faces
            if self._clock() < self._next_s:
                return None
        elif record.state not in _SEEING:
            self._faces = ()
        self._next_s = self._clock() + _INTERVAL_S
        face = max(self._faces, key=_area, default=None)
        label = face.label if face is not None else None
        content = {
            "label": label,
            "confidence": face.confidence if face is not None and label is not None else None,
            "faces": len(self._faces),
            "fps": record.fps,
            "temperature": max(self._temperatures().values(), default=None),
        }
        return json.dumps(content).encode()


def _area(face: FaceReading) -> float:
    return face.box.width * face.box.height

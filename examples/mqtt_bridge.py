"""Only what changes, in your own words: each face's expression to a topic of its own.

    python examples/mqtt_bridge.py --camera 0 --host 127.0.0.1

The sink of `publish.mqtt` sends every reading; write a bridge like this one where your robot wants something else.
"""

from __future__ import annotations

import argparse
import json
import sys

import paho.mqtt.client as mqtt

from edge_fer import EdgeFer
from edge_fer.errors import EdgeFerError
from edge_fer.schema import Reading


class Changes:
    """Tells what is new since the last reading."""

    def __init__(self) -> None:
        self._shown: dict[int, str | None] = {}

    def new(self, reading: Reading) -> dict[int, str | None]:
        """Faces whose label has changed, with the new one; null: there is none any more."""
        now = {face.id: face.label for face in reading.faces}
        gone = {key: None for key, label in self._shown.items() if key not in now and label is not None}
        changed = {key: label for key, label in now.items() if label != self._shown.get(key)}
        self._shown = dict(now)
        return gone | changed


def main() -> None:
    """Watch a camera until it ends."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--camera", default="sample", help="as in `edge-fer run`")
    parser.add_argument("--host", default="127.0.0.1", help="of the broker")
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--topic", default="robot/faces", help="the face's id is put behind it")
    asked = parser.parse_args()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    try:
        client.connect(asked.host, asked.port)
    except OSError as error:
        parser.error(f"expected a broker at {asked.host}:{asked.port}, found: {error}")
    client.loop_start()
    changes = Changes()
    with EdgeFer(capture__source=asked.camera) as fer:
        for reading in fer:
            for face, label in changes.new(reading).items():
                told = json.dumps({"label": label, "at": reading.captured_at})
                client.publish(f"{asked.topic}/{face}", told, qos=1).wait_for_publish(5)
    client.disconnect()
    client.loop_stop()


if __name__ == "__main__":
    try:
        main()
    except EdgeFerError as error:
        sys.exit(str(error))

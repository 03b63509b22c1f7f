"""Publishes only changes, in a format of your own: each face's expression to a topic of its own.

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
    """Finds what has changed since the last reading."""

    def __init__(self) -> None:
        self._labels: dict[int, str | None] = {}

    def new(self, reading: Reading) -> dict[int, str | None]:
        """The new labels of the faces whose label has changed, by track id; None: there is no label any more."""
        now = {face.id: face.label for face in reading.faces}
        gone = {key: None for key, label in self._labels.items() if key not in now and label is not None}
        changed = {key: label for key, label in now.items() if label != self._labels.get(key)}
        self._labels = dict(now)
        return gone | changed


def main() -> None:
    """Read a camera until it ends."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--camera", default="sample", help="as in `edge-fer run`")
    parser.add_argument("--host", default="127.0.0.1", help="the broker's address")
    parser.add_argument("--port", type=int, default=1883, help="the broker's port")
    parser.add_argument("--topic", default="robot/faces", help="the face's id is appended to it")
    options = parser.parse_args()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    try:
        client.connect(options.host, options.port)
    except OSError as error:
        parser.error(f"expected a broker at {options.host}:{options.port}, found: {error}")
    client.loop_start()
    changes = Changes()
    with EdgeFer(capture__source=options.camera) as fer:
        for reading in fer:
            for face, label in changes.new(reading).items():
                payload = json.dumps({"label": label, "at": reading.captured_at})
                client.publish(f"{options.topic}/{face}", payload, qos=1).wait_for_publish(5)
    client.disconnect()
    client.loop_stop()


if __name__ == "__main__":
    try:
        main()
    except EdgeFerError as error:
        sys.exit(str(error))

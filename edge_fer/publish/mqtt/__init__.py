"""Records to an MQTT broker. The topics and what is promised of them: docs/mqtt.md.

sink.py: what is published where     -> buffer.py: kept until the broker has it -> link.py: the thread
homeassistant.py: how it finds a box    identity.py: who we are to the broker      client.py: one connection
"""

from __future__ import annotations

from edge_fer.publish import Sink
from edge_fer.settings import Settings


def open_sink(settings: Settings) -> Sink:
    """Start to publish; see `edge_fer.publish.mqtt.sink.Mqtt`."""
    from edge_fer.publish.mqtt.sink import Mqtt

    return Mqtt(settings.publish.mqtt, settings.device_name, settings.privacy.notice)


def validate(settings: Settings) -> None:
    """Find out whether paho-mqtt and the files that the settings name are there and can be used.

    Raises:
        ConfigError: when they are not.
    """
    from edge_fer.publish.mqtt.client import Connection

    Connection(settings.publish.mqtt, client_id="edge-fer")


def check(settings: Settings) -> None:
    """Try once whether the broker lets us in; see `edge_fer.publish.mqtt.sink.try_broker`."""
    from edge_fer.publish.mqtt.sink import try_broker

    try_broker(settings.publish.mqtt)

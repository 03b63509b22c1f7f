"""Records to an MQTT broker. The topics, and what is guaranteed for them: docs/mqtt.md.

sink.py           what is published where
buffer.py         messages that are kept until the broker has them
link.py           the thread that sends them; client.py: one connection; link_error.py: why there is none
incoming.py       what a broker may send; claim.py, rivals.py: others with the same client id
identity.py       this box's name, credentials and certificate
homeassistant.py  what Home Assistant needs to find a box
"""

from __future__ import annotations

from edge_fer.publish import Sink
from edge_fer.settings import Settings


def open_sink(settings: Settings) -> Sink:
    """Start to publish; see `edge_fer.publish.mqtt.sink.Mqtt`.

    Args:
        settings: the run's settings.
    """
    from edge_fer.publish.mqtt.sink import Mqtt

    return Mqtt(settings.publish.mqtt, settings.device_name, settings.privacy.notice)


def validate(settings: Settings) -> None:
    """Check whether paho-mqtt is installed and the files that the settings name can be used.

    Args:
        settings: the run's settings.

    Raises:
        ConfigError: when not.
    """
    from edge_fer.publish.mqtt.client import Connection

    Connection(settings.publish.mqtt, client_id="edge-fer")


def check(settings: Settings) -> None:
    """Try the broker once; see `edge_fer.publish.mqtt.sink.try_broker`.

    Args:
        settings: the run's settings.
    """
    from edge_fer.publish.mqtt.sink import try_broker

    try_broker(settings.publish.mqtt, settings.device_name)

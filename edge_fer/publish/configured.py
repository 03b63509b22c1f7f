"""The sinks that the settings ask for."""

from __future__ import annotations

from collections.abc import Iterator

from edge_fer.publish import Sink
from edge_fer.settings import Settings


def configured_sinks(settings: Settings) -> Iterator[Sink]:
    """Open each sink that the settings name; its library is imported only then.

    Raises:
        ConfigError: when a library is missing, or what the settings name does not fit together.
        OutputError: when something cannot be opened that will not come by itself, such as a folder for a file.
    """
    publish = settings.publish
    if publish.file.path is not None:
        from edge_fer.publish.file import JsonFile

        yield JsonFile(publish.file)
    if publish.mqtt.host is not None:
        from edge_fer.publish.mqtt import Mqtt

        yield Mqtt(publish.mqtt, settings.device_name, settings.privacy.notice)

"""The sinks that the settings ask for."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Protocol, cast

from edge_fer.errors import ConfigError, OutputError
from edge_fer.publish import Sink
from edge_fer.settings import Settings


class SinkModule(Protocol):
    """What the file of a sink has."""

    def open_sink(self, settings: Settings) -> Sink:
        """Open it.

        Raises:
            ConfigError: when its library is missing, or what the settings name does not fit together.
            OutputError: when it will not work by itself later, either, such as a folder that is not there.
        """
        ...

    def validate(self, settings: Settings) -> None:
        """Find out whether it could be opened, without opening it: not whether its link works.

        Raises:
            ConfigError: as `open_sink`.
            OutputError: as `open_sink`.
        """
        ...

    def check(self, settings: Settings) -> None:
        """Try its link once, within seconds.

        Raises:
            ConfigError: as `open_sink`.
            OutputError: when it does not work now.
        """
        ...


def configured_sinks(settings: Settings) -> Iterator[Sink]:
    """Open each sink that the settings name, and import its library only then; see `SinkModule.open_sink`."""
    for name in sink_names(settings):
        yield _module(name).open_sink(settings)


def validate_sinks(settings: Settings) -> None:
    """Find out whether each sink that the settings name could be opened; see `SinkModule.validate`."""
    for name in sink_names(settings):
        _module(name).validate(settings)


def check_sinks(settings: Settings) -> Iterator[tuple[str, Exception | None]]:
    """Try each sink that the settings name; its name and what is wrong with it, if anything."""
    recording = ("recording",) if settings.publish.record is not None else ()
    for name in (*sink_names(settings), *recording):
        try:
            _module(name).check(settings)
        except (ConfigError, OutputError) as error:
            yield name, error
        else:
            yield name, None


def sink_names(settings: Settings) -> tuple[str, ...]:
    """Names of the sinks that the settings switch on; each is a file of this package."""
    publish = settings.publish
    wanted = {
        "file": publish.file.path is not None,
        "http": publish.http.enabled,
        "mavlink": publish.mavlink.url is not None,
        "mqtt": publish.mqtt.host is not None,
    }
    return tuple(name for name, is_wanted in wanted.items() if is_wanted)


def _module(name: str) -> SinkModule:
    return cast(SinkModule, import_module(f"edge_fer.publish.{name}"))

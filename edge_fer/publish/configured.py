"""Opens the sinks that the settings name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import Protocol, cast

from edge_fer.common.text import printable
from edge_fer.errors import ConfigError, EdgeFerError, OutputError
from edge_fer.publish import Sink
from edge_fer.publish.retried_sink import RetriedSink
from edge_fer.settings import Settings


class SinkModule(Protocol):
    """The functions that each sink's module has."""

    def open_sink(self, settings: Settings) -> Sink:
        """Open the sink.

        Args:
            settings: the run's settings.

        Raises:
            ConfigError: when its library is missing, or its settings contradict each other.
            OutputError: when a person must change something before it can work, as when its folder does not exist.
        """
        ...

    def validate(self, settings: Settings) -> None:
        """Check whether the sink could be opened, without opening it; its link is not tried.

        Args:
            settings: the run's settings.

        Raises:
            ConfigError: as `open_sink`.
            OutputError: as `open_sink`.
        """
        ...

    def check(self, settings: Settings) -> None:
        """Try the sink's link once, within seconds.

        Args:
            settings: the run's settings.

        Raises:
            ConfigError: as `open_sink`.
            OutputError: when it does not work now.
        """
        ...


def configured_sinks(settings: Settings) -> Iterator[Sink]:
    """Open each sink that the settings name, and import its library only then.

    Where the run shall go on without sinks, one that cannot be opened is opened later.

    Args:
        settings: the run's settings.

    Raises:
        ConfigError: see `SinkModule.open_sink`.
        OutputError: see `SinkModule.open_sink`.
    """
    for name in sink_names(settings):
        opener = partial(_open_sink, name, settings)
        if settings.publish.keep_going:
            yield RetriedSink(name, opener, statuses=name != "recording")
        else:
            yield opener()


def validate_sinks(settings: Settings) -> None:
    """Check whether each sink that the settings name could be opened.

    Args:
        settings: the run's settings.

    Raises:
        ConfigError: see `SinkModule.validate`.
        OutputError: see `SinkModule.validate`; not where the run would go on without the sink.
    """
    for name in sink_names(settings):
        try:
            with _in_one_line(name):
                _module(name).validate(settings)
        except OutputError:
            if not settings.publish.keep_going:
                raise


def check_sinks(settings: Settings) -> Iterator[tuple[str, Exception | None]]:
    """Try each sink that the settings name.

    Args:
        settings: the run's settings.

    Yields:
        The sink's name, and its error; None where it works.
    """
    for name in sink_names(settings):
        try:
            with _in_one_line(name):
                _module(name).check(settings)
        except (ConfigError, OutputError) as error:
            yield name, error
        else:
            yield name, None


def sink_names(settings: Settings) -> tuple[str, ...]:
    """Names of the sinks that the settings switch on; each is a module of this package.

    Args:
        settings: the run's settings.
    """
    publish = settings.publish
    wanted = {
        "file": publish.file.path is not None,
        "http": publish.http.enabled,
        "mavlink": publish.mavlink.url is not None,
        "mqtt": publish.mqtt.host is not None,
        "recording": publish.record is not None,
    }
    return tuple(name for name, is_wanted in wanted.items() if is_wanted)


def _open_sink(name: str, settings: Settings) -> Sink:
    with _in_one_line(name):
        return _module(name).open_sink(settings)


@contextmanager
def _in_one_line(name: str) -> Iterator[None]:
    """What the system refuses is an error of the sink."""
    try:
        yield
    except EdgeFerError:
        raise
    except OSError as error:
        raise OutputError(f"expected to open the sink {name}, found: {printable(str(error))}") from error


def _module(name: str) -> SinkModule:
    return cast(SinkModule, import_module(f"edge_fer.publish.{name}"))

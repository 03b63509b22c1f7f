from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from edge_fer.errors import ConfigError, OutputError
from edge_fer.publish import Sink, configured
from edge_fer.publish.configured import check_sinks, configured_sinks, sink_names, validate_sinks
from edge_fer.publish.retried_sink import RetriedSink
from edge_fer.schema import Record
from edge_fer.settings import Settings
from edge_fer.types import Image


class Nothing(Sink):
    def publish(self, record: Record, image: Image | None) -> None: ...


def settings(*, keep_going: bool = False) -> Settings:
    return Settings.model_validate({"publish": {"file": {"path": "a.jsonl"}, "keep_going": keep_going}})


def raising(error: Exception) -> Callable[[Settings], Sink]:
    def fail(_: Settings) -> Sink:
        raise error

    return fail


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception], None]:
    """The sink that the settings name fails with an error."""

    def fail(error: Exception) -> None:
        module = SimpleNamespace(open_sink=raising(error), validate=raising(error), check=raising(error))
        monkeypatch.setattr(configured, "_module", lambda _: module)

    return fail


def test_every_sink_that_is_switched_on_is_named() -> None:
    everything: Any = {
        "file": {"path": "a.jsonl"}, "http": {"enabled": True}, "mavlink": {"url": "udpin:127.0.0.1:1"},
        "mqtt": {"host": "broker"}, "record": "a.mkv",
    }  # fmt: skip
    assert sink_names(Settings()) == ()
    found = sink_names(Settings.model_validate({"publish": everything}))
    assert found == ("file", "http", "mavlink", "mqtt", "recording")


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (OutputError("no room"), OutputError, "^no room$"),
        (ConfigError("no library"), ConfigError, "^no library$"),
        (
            PermissionError(13, "Permission denied", "a"),
            OutputError,
            "to open the sink file, found: .*Permission denied",
        ),
    ],
)
def test_an_error_of_a_sink_is_one_line(
    broken: Callable[[Exception], None], error: Exception, kind: type[Exception], words: str
) -> None:
    broken(error)
    with pytest.raises(kind, match=words):
        list(configured_sinks(settings()))
    with pytest.raises(kind, match=words):
        validate_sinks(settings())
    ((name, found),) = check_sinks(settings(keep_going=True))
    assert (name, type(found)) == ("file", kind)


@pytest.mark.parametrize(
    "error", [OutputError("no room"), ConfigError("no token"), OSError(5, "?"), TypeError("a bug")]
)
def test_a_run_that_goes_on_opens_its_sinks_later(broken: Callable[[Exception], None], error: Exception) -> None:
    broken(error)
    (sink,) = configured_sinks(settings(keep_going=True))
    assert isinstance(sink, RetriedSink)
    assert (sink.name, sink.statuses) == ("file", True)
    sink.close()


def test_a_sink_that_cannot_be_opened_now_is_no_reason_to_refuse_settings_that_go_on_without(
    broken: Callable[[Exception], None],
) -> None:
    broken(OutputError("no room"))
    validate_sinks(settings(keep_going=True))
    broken(ConfigError("the token is open to everybody"))
    with pytest.raises(ConfigError):
        validate_sinks(settings(keep_going=True))

"""Whether a run with the same settings would be another one: settings name files whose content matters, too."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from edge_fer.common.files import read_at_most
from edge_fer.settings.section import Section
from edge_fer.settings.settings import Settings

_MAX_BYTES = 1_000_000  # keys, certificates and manifests are far smaller
_CONTENT = "_file"  # names of settings end so whose file is read once, at the start: credentials, tokens, certificates


def fingerprint(settings: Settings) -> object:
    """What a run is made from; two that are equal give the same run.

    Args:
        settings: the run's settings.
    """
    files = [*_named_files(settings)]
    if settings.models is not None:
        files.append(settings.models / "manifest.yaml")  # it has the hash of each network
    return settings, settings.device_name, [(path, _digest(path)) for path in files]


def _named_files(section: Section) -> Iterator[Path]:
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, Section):
            yield from _named_files(value)
        elif isinstance(value, Path) and name.endswith(_CONTENT):
            yield value


def _digest(path: Path) -> str | int | None:
    """A hash of a file's content; where it cannot be read, the error's number."""
    try:
        return hashlib.sha256(read_at_most(path, _MAX_BYTES, wait_s=0)).hexdigest()
    except OSError as error:
        return error.errno

"""What the shell offers for the values of options, when the user presses Tab.

Nothing is opened: names come from the settings' schema, the folder of devices and the manifest. Where nothing here
fits, bash offers files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, get_args

import typer

from edge_fer.errors import EdgeFerError
from edge_fer.inference.model_store import ModelStore
from edge_fer.settings import Settings
from edge_fer.settings.addresses import REMOTE

_SOURCES = ("sample", "synthetic:1", "picamera2")
_BACKENDS = ("auto", "cpu", "edgetpu", "edgetpu:usb:0", "edgetpu:pci:0", "fake")


def source_completer(dev: Path = Path("/dev")) -> Callable[[str], list[str]]:
    """Completes the names of sources.

    Args:
        dev: folder of the device nodes; its cameras are offered, too.
    """

    def complete(incomplete: str) -> list[str]:
        return _starting(incomplete, (*_SOURCES, *sorted(str(path) for path in dev.glob("video*"))))

    return complete


def complete_backend(incomplete: str) -> list[str]:
    """The names of devices, those of other computers too."""
    return _starting(incomplete, (*_BACKENDS, REMOTE))


def complete_device(incomplete: str) -> list[str]:
    """The names of devices of this computer."""
    return _starting(incomplete, _BACKENDS)


def complete_model(ctx: typer.Context, incomplete: str) -> list[str]:
    """The names of the classifiers and ensembles in the folder that `--models` names, or in that of edge-fer."""
    folder = ctx.params.get("models")
    try:
        names = ModelStore(Path(folder) if folder else None).expression_models
    except EdgeFerError:  # the command itself says what is wrong
        return []
    return _starting(incomplete, names)


def choice_completer(section: str, setting: str) -> Callable[[str], list[str]]:
    """Completes the values of a setting that has a fixed set of them."""

    def complete(incomplete: str) -> list[str]:
        of_section: Any = Settings.model_fields[section].annotation
        return _starting(incomplete, get_args(of_section.model_fields[setting].annotation))

    return complete


def _starting(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]

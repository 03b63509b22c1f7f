"""What a job does with every recording: the settings, pinned to what gives the same rows everywhere."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from edge_fer.archive.tables import Format, require_pyarrow
from edge_fer.common.version import VERSION
from edge_fer.errors import ConfigError
from edge_fer.faces.detectors import chosen_networks
from edge_fer.inference.manifest import EnsembleSpec, ModelSpec
from edge_fer.inference.model_store import ModelStore
from edge_fer.settings import Settings, changed_settings

_PINNED = {
    "detect.threads": 1,
    "classify.threads": 1,
    "keyframe.aligned": True,
    "attend.enabled": False,  # the table of tracks is made of all rows of a face
}
_STAGES = {"enhance", "detect", "track", "keyframe", "classify", "smooth"}


@dataclass(frozen=True)
class Job:
    """What is done with every recording; the same for all workers.

    Attributes:
        settings: of the stages, pinned.
        out: the folder for the tables; all workers see it under this path.
        form: of the tables.
        every: one frame in so many is read; 1: all.
        fps: so many frames a second are read at most, by their presentation times; None: all.
        segment_s: longer recordings are cut into segments of this length, seconds; None: never.
        networks: hash of each network, and of what the manifest says of it, by name.
        abstain_below: confidence below which a label of the classifier is a guess.
    """

    settings: Settings
    out: Path
    form: Format
    every: int
    fps: float | None
    segment_s: float | None
    networks: dict[str, str]
    abstain_below: float

    @cached_property
    def facts(self) -> dict[str, str]:
        """What the rows depend on beside the recording, for the metadata of the tables."""
        capture = self.settings.capture.model_dump_json(include={"hflip", "vflip", "rotate"})
        return {
            "version": VERSION,
            "model": self._model,
            "networks": " ".join(f"{name}:{digest}" for name, digest in sorted(self.networks.items())),
            "settings": self.settings.model_dump_json(
                include=_STAGES, exclude={"classify": {"sysfs", "dev", "remote"}}
            ),
            "capture": capture,
            "sampling": self._sampling,
            "segment": "none" if self.segment_s is None else f"{self.segment_s:g} s",
        }

    @property
    def _model(self) -> str:
        """What reads expressions."""
        settings = self.settings
        return settings.detect.model if settings.detect.labels == "own" else settings.classify.model

    @property
    def _sampling(self) -> str:
        if self.fps is not None:
            return f"at most {self.fps:g} frames a second"
        return "all frames" if self.every == 1 else f"one frame in {self.every}"

    @cached_property
    def fingerprint(self) -> str:
        """Two jobs of the same fingerprint make the same tables of the same recording."""
        return hashlib.sha256(repr([*self.facts.items(), self.form]).encode()).hexdigest()


def make_job(
    settings: Settings,
    out: Path,
    *,
    form: Format = "parquet",
    every: int = 1,
    fps: float | None = None,
    segment_s: float | None = None,
) -> Job:
    """Pin what a run may choose by speed or by what is plugged in, and look up the networks.

    Args:
        settings: of the stages.
        out: the folder for the tables.
        form: of the tables.
        every: see `Job`.
        fps: see `Job`.
        segment_s: see `Job`.

    Raises:
        ConfigError: when the settings cannot give the same rows everywhere, or pyarrow is missing.
        ModelError: when a network is missing or corrupt.
    """
    require_pyarrow()
    backends = {"classify.backend": settings.classify.backend, "detect.backend": settings.detect.backend}
    for name, backend in backends.items():
        if backend not in {"auto", "cpu", "fake"}:
            raise ConfigError(
                f"expected {name} auto or cpu to label recordings, found {backend}: its answers differ a little from "
                "the CPU's, and many workers cannot share it; use --config with another"
            )
    if settings.detect.roll == "mavlink":
        raise ConfigError("expected an angle in detect.roll to label recordings, found mavlink; a file has no vehicle")
    precision = settings.detect.precision
    pinned = changed_settings(
        settings,
        {
            **_PINNED,
            **{name: "cpu" if backend == "auto" else backend for name, backend in backends.items()},
            "detect.precision": "float32" if precision == "auto" else precision,
        },
    )
    store = ModelStore(pinned.models)
    names, abstain_below = _readers(pinned, store)
    networks = {name: _digest(store.specs[name]) for name in {*names, *chosen_networks(pinned.detect, store)}}
    return Job(pinned, out.resolve(), form, every, fps, segment_s, networks, abstain_below)


def _readers(settings: Settings, store: ModelStore) -> tuple[list[str], float]:
    """The networks that read expressions, and the confidence below which their labels are guesses."""
    if settings.detect.labels == "own":
        return [settings.detect.model], store.spec(settings.detect.model, "detect").abstain_below
    model = store.expression_model(settings.classify.model)
    members = [member.name for member in model.members] if isinstance(model, EnsembleSpec) else []
    return [settings.classify.model, *members], model.abstain_below


def _digest(spec: ModelSpec) -> str:
    """A hash of what the manifest says of a network, the hash of its file among it."""
    return hashlib.sha256(spec.model_dump_json(exclude={"accuracy", "source", "licence", "card"}).encode()).hexdigest()

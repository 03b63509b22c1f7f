"""An attention over a classifier's features, made and put into its folder: file, entry, card and record."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fer.expression.attention import read_attention
from edge_fer.inference.manifest import ClassifierSpec
from edge_fer.inference.manifest_aggregate import AggregateSpec, TrackAccuracy
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.console import Reporter
from edge_fer.lab.datasets.dataset import Split
from edge_fer.lab.datasets.tracks import SHARES
from edge_fer.lab.evaluation.contenders import find_artefact
from edge_fer.lab.evaluation.metrics import fit_temperature
from edge_fer.lab.evaluation.over_time import Reader, measure_tracks, read_by, softmax
from edge_fer.lab.evaluation.track_answers import TrackAnswers
from edge_fer.lab.evaluation.track_run import TrackSource, describe, write_strips
from edge_fer.lab.evaluation.tracks_record import BASELINE, MethodName, TracksEvaluation, TracksRecord
from edge_fer.lab.evaluation.tracks_table import summary
from edge_fer.lab.export.attention_card import attention_card
from edge_fer.lab.export.second_output import give_features
from edge_fer.lab.files import write_record
from edge_fer.lab.model_folder import assembling, update_manifest, write_card, write_file
from edge_fer.lab.tflite.further_output import last_layer
from edge_fer.lab.training.attention_top import AttentionTop, TopPlan, train_top

_SEED = 0  # of which frames are spoiled where the temperature is fitted
_HALF = 0.5
_ATTACHED = 200  # validation tracks that a whole network is measured on


@dataclass(frozen=True, slots=True)
class Plan:
    """What to make.

    Attributes:
        models: the folder of models, which gets the attention.
        model: name of the classifier.
        top: how the attention is trained.
        tracks: training tracks, at most; 0: all.
        frames: frames of each of these.
        measured: validation tracks, and test tracks, at most; 0: all.
        test: whether the test tracks are read, too, once everything is chosen.
        strips: where pictures of some validation tracks go; None: nowhere.
    """

    models: Path
    model: str
    top: TopPlan = field(default_factory=TopPlan)
    tracks: int = 3000
    frames: int = 8
    measured: int = 600
    test: bool = False
    strips: Path | None = None


def make_attention(plan: Plan, source: TrackSource, report: Reporter) -> TracksRecord:
    """Train the attention of a classifier, measure it, and put it into the classifier's folder.

    Raises:
        ModelError: when the classifier is missing, corrupt, or gives no logits of the seven labels.
        SourceError: when there are no tracks, or a frame cannot be read.
        OutputError: when a folder cannot be written.
    """
    store = ModelStore(plan.models)
    artefact = find_artefact(store, plan.model)
    training = source.answers(artefact, *source.of(Split.TRAINING, plan.tracks, plan.frames), report)
    layer, tops = last_layer(artefact.content), {}
    for name, relation in (("self-attention", False), ("attention", True)):
        with report.step(f"training {name} on {len(training)} tracks") as progress:
            tops[name] = train_top(training, layer, plan.top, relation=relation, progress=progress)
    tracks, data = source.of(Split.VALIDATION, plan.measured)
    validation = source.answers(artefact, tracks, data, report)
    temperatures = {name: temperature_of(top, validation) for name, top in tops.items()}
    content = packed(tops["attention"].arrays(temperatures["attention"]))
    attention = read_attention(content, f"{plan.model}.attention.npz", training.features.shape[-1])
    readers: dict[MethodName, Reader] = {
        "self-attention": read_by_top(tops["self-attention"], temperatures["self-attention"]),
        "attention": read_by(attention),
    }
    temperature = artefact.spec.temperature
    measured = [TracksEvaluation(data=data, shares=measure_tracks(validation, temperature, readers))]
    if plan.strips is not None:
        write_strips(plan.strips, tracks, validation, attention, count=12)
    if plan.test:
        some, which = source.of(Split.TEST, plan.measured)
        answers = source.answers(artefact, some, which, report)
        measured.append(TracksEvaluation(data=which, shares=measure_tracks(answers, temperature, readers)))
    facts = {"tracks": len(training), "frames": plan.frames, **_options(plan.top)}
    record = describe(artefact, attention, facts, *measured)
    with assembling(plan.models) as folder:
        spec = give_features(store, plan.model, folder, report)
        write_attention(folder, plan.model, spec, content, record)
    return record


def attach_attention(top: AttentionTop, name: str, folder: Path, source: TrackSource, report: Reporter) -> None:
    """Put an attention that was trained with its network beside the network's file, measured on validation tracks.

    Args:
        top: the attention and the head.
        name: the classifier's name in the manifest of the folder.
        folder: the folder of models.
        source: where tracks come from.
        report: receives lines and progress.

    Raises:
        SourceError: when there are no validation tracks, or a frame cannot be read.
        OutputError: when the folder cannot be written.
    """
    artefact = find_artefact(ModelStore(folder), name)
    tracks, data = source.of(Split.VALIDATION, _ATTACHED)
    answers = source.answers(artefact, tracks, data, report)
    content = packed(top.arrays(temperature_of(top, answers)))
    attention = read_attention(content, f"{name}.attention.npz", top.attention.own.in_features)
    shares = measure_tracks(answers, artefact.spec.temperature, {"attention": read_by(attention)})
    record = describe(artefact, attention, {}, TracksEvaluation(data=data, shares=shares))
    write_attention(folder, name, artefact.spec, content, record)
    for line in summary(record):
        report.say(line)


def write_attention(folder: Path, model: str, classifier: ClassifierSpec, content: bytes, record: TracksRecord) -> None:
    """Write the file of an attention with its card, record and manifest entry, and the classifier's entry.

    Args:
        folder: the folder of models, with a manifest.
        model: the classifier's name.
        classifier: its entry, with features.
        content: of the attention's file.
        record: what was measured of it, on validation tracks first.

    Raises:
        OutputError: when the folder cannot be written.
    """
    name, digest = f"{model}_attention", hashlib.sha256(content).hexdigest()
    identity = record.model.model_copy(update={"sha256": classifier.sha256})
    record = record.model_copy(update={"model": identity, "attention": digest})
    spec = AggregateSpec(
        task="aggregate",
        of=model,
        file=f"{model}.attention.npz",
        sha256=digest,
        accuracy=_accuracy(record.evaluations[0]),
        source=f"trained by this project on features of {model} ({classifier.source})",
        licence=classifier.licence,
        card=f"{name}.md",
    )
    write_file(folder / spec.file, content)
    write_record(folder / f"{model}.tracks.json", record)
    write_card(folder, spec, attention_card(name, spec, record))
    update_manifest(folder, {model: classifier, name: spec})


def temperature_of(top: AttentionTop, tracks: TrackAnswers) -> float:
    """The temperature that calibrates an attention on tracks of all shares of spoiled frames."""
    shares = SHARES if tracks.faults else (0.0,)
    logits = np.concatenate([top.read(tracks, tracks.spoiled(share, _SEED))[0] for share in shares])
    return fit_temperature(logits, np.tile(tracks.labels, len(shares)))


def read_by_top(top: AttentionTop, temperature: float) -> Reader:
    """An attention that is no file."""

    def read(tracks: TrackAnswers, spoiled: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        logits, weights = top.read(tracks, spoiled)
        return softmax(logits / temperature), weights

    return read


def packed(arrays: dict[str, NDArray[np.float32]]) -> bytes:
    """The content of the attention's file."""
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


def _accuracy(evaluation: TracksEvaluation) -> TrackAccuracy | None:
    """What was measured where half of the frames are spoiled; None for films."""
    half = next((share for share in evaluation.shares if share.spoiled == _HALF), None)
    if half is None:
        return None
    found = {result.method: round(result.accuracy.value, 4) for result in half.results}
    data = evaluation.data
    return TrackAccuracy(
        dataset=f"synthetic tracks of {data.name}, {data.split} split, half of the frames spoiled",
        tracks=data.tracks,
        attention=found["attention"],
        mean=found[BASELINE],
    )


def _options(top: TopPlan) -> dict[str, str | int | float]:
    stage = top.stage
    return {
        "parts": stage.frames,
        "batch": stage.batch,
        "epochs": stage.epochs,
        "lr": stage.lr,
        "head_rate": stage.optimizer.head_rate,
        "weight_decay": stage.optimizer.weight_decay,
        "dropout": top.dropout,
        "guidance": top.guidance,
        "seed": top.seed,
    }

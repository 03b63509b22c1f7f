"""An ensemble of exported classifiers: its weights are chosen on validation faces, and it becomes a manifest entry."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fer.common.machine import machine
from edge_fer.errors import ConfigError, ModelError
from edge_fer.inference.manifest import (
    ClassifierSpec,
    EnsembleMember,
    EnsembleSpec,
    ModelSpec,
    NestedAccuracy,
    NetworkEntry,
    crop_difference,
)
from edge_fer.inference.model_store import MANIFEST, ModelStore
from edge_fer.lab.console import Reporter
from edge_fer.lab.datasets import Layout
from edge_fer.lab.datasets.dataset import Split
from edge_fer.lab.evaluation.cached_answers import answers_of
from edge_fer.lab.evaluation.contenders import Answers, Artefact, find_artefact
from edge_fer.lab.evaluation.ensemble_record import EnsembleMember as MemberRecord
from edge_fer.lab.evaluation.ensemble_record import EnsembleRecord, EnsembleSplit, Figures
from edge_fer.lab.evaluation.faces import describe_data, open_faces
from edge_fer.lab.evaluation.metrics import (
    Labels,
    fit_temperature,
    guessing_below,
    log_probabilities,
    negative_log_likelihood,
    score,
)
from edge_fer.lab.evaluation.record import Data, LabelSet
from edge_fer.lab.evaluation.summary import latency_of, paired_estimate, share
from edge_fer.lab.export.ensemble_card import ensemble_card
from edge_fer.lab.files import write_record
from edge_fer.lab.model_folder import assembling, copy_entry, update_manifest, write_card
from edge_fer.lab.training.ensemble_weights import Rows, as_logits, choose_weights, nested_folds, weighted_mean

_PACKAGES = ("edge-fer", "ai-edge-litert", "numpy", "scipy")
_LEAST_WEIGHT = 0.005  # a member with less costs its time for nothing
_DIGITS = 4  # of weights
_LICENCE = "mtcnn.LICENSE"  # of the detector


@dataclass(frozen=True, slots=True)
class Plan:
    """What to make.

    Attributes:
        members: names of shipped classifiers, or FOLDER/NAME for those of other folders.
        data: an .npz file, `fer2013.csv`, or a folder.
        out: folder of the ensemble; the members are copied to it where it has them not.
        name: name of the ensemble in the manifest.
        layout: layout of the data.
        labels: the data's first labels, or those of the second annotator.
        test: whether the test faces are read, too, after the weights are chosen.
        seed: seed of the search and of the folds.
        threads: processor threads of a classification.
        cache: folder of what members said of faces.
    """

    members: tuple[str, ...]
    data: Path
    out: Path
    name: str = "ensemble"
    layout: Layout = "auto"
    labels: LabelSet = "first"
    test: bool = False
    seed: int = 0
    threads: int = 2
    cache: Path = Path("out/answers")


@dataclass(frozen=True, slots=True)
class _Member:
    store: ModelStore
    artefact: Artefact

    @property
    def name(self) -> str:
        return self.artefact.name


@dataclass(frozen=True, slots=True)
class _Said:
    """What the members said of the faces of a split."""

    data: Data
    labels: Labels
    answers: Sequence[Answers]
    rows: Rows

    def by(self, order: Sequence[int]) -> _Said:
        """The members in another order."""
        return _Said(self.data, self.labels, [self.answers[place] for place in order], self.rows[list(order)])


def make_ensemble(plan: Plan, report: Reporter) -> EnsembleRecord:
    """Choose weights, measure the ensemble, and write it: entry, card, record, and its members.

    Raises:
        ConfigError: when the members or the name cannot be used.
        ModelError: when a member is missing or corrupt, or takes faces cut out differently.
        SourceError: when the faces cannot be read.
        OutputError: when the folder cannot be written.
    """
    members = _find_members(plan)
    said = _said(plan, members, Split.VALIDATION, report)
    order = np.argsort([-score(one.logits, said.labels).accuracy for one in said.answers], kind="stable").tolist()
    members, said = [members[place] for place in order], said.by(order)
    weights = _rounded(choose_weights(said.rows, said.labels, plan.seed))
    for member, weight in zip(members, weights, strict=True):
        report.say(f"{member.name}: weight {weight:.3f}{'' if weight else ', it is left out'}")
    test = _said(plan, members, Split.TEST, report) if plan.test else None
    record = _measure(plan, members, weights, said, test)
    _write(plan, [(member, weight) for member, weight in zip(members, weights.tolist(), strict=True) if weight], record)
    return record


def _find_members(plan: Plan) -> list[_Member]:
    members = []
    for text in plan.members:
        path = Path(text)
        store = ModelStore(path.parent if len(path.parts) > 1 else None)
        members.append(_Member(store, find_artefact(store, path.name)))
    names = [member.name for member in members]
    twice = next((name for name in names if names.count(name) > 1), None)
    if not members or twice is not None or plan.name in names:
        raise ConfigError(
            f"expected members with different names, and another name for the ensemble, found {', '.join(names)} in "
            f"`{plan.name}`; choose another --name, or leave out a member"
        )
    difference = crop_difference({member.name: member.artefact.spec.crop for member in members})
    if difference is not None:
        raise ModelError(f"expected {difference}; leave one out, or export one with the crop of the other")
    return members


def _said(plan: Plan, members: Sequence[_Member], split: Split, report: Reporter) -> _Said:
    faces = open_faces(plan.data, plan.layout, split, plan.labels)
    data = describe_data(faces, split, plan.labels, len(faces), None)
    artefacts = [member.artefact for member in members]
    answers = answers_of(artefacts, faces, data, plan.cache, plan.threads, report)
    pairs = zip(artefacts, answers, strict=True)
    rows = np.stack([np.exp(log_probabilities(one.logits, artefact.spec.temperature)) for artefact, one in pairs])
    return _Said(data, faces.labels, answers, rows)


def _rounded(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights as the manifest states them: without tiny ones, and with a sum of 1."""
    kept = np.where(weights < _LEAST_WEIGHT, 0, weights)
    rounded = (kept / kept.sum()).round(_DIGITS)
    rounded[rounded.argmax()] += 1 - rounded.sum()
    return np.asarray(rounded.round(_DIGITS))


def _measure(
    plan: Plan, members: Sequence[_Member], weights: NDArray[np.float64], said: _Said, test: _Said | None
) -> EnsembleRecord:
    nested = nested_folds(said.rows, said.labels, plan.seed)
    mean = as_logits(weighted_mean(said.rows, weights))
    temperature = fit_temperature(mean, said.labels) if np.count_nonzero(weights) > 1 else 1.0
    own = share(mean.argmax(axis=1) == said.labels)
    validation = _split(members, said, nested.mean, temperature)
    guess = guessing_below(mean, said.labels, temperature)
    together = np.sum([one.seconds for one, weight in zip(said.answers, weights, strict=True) if weight], axis=0)
    return EnsembleRecord(
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        versions={name: version(name) for name in _PACKAGES},
        machine=machine(),
        name=plan.name,
        members=tuple(
            MemberRecord(
                name=member.name,
                sha256=member.artefact.spec.sha256,
                weight=weight,
                latency=latency_of(one.seconds, plan.threads),
            )
            for member, weight, one in zip(members, weights.tolist(), said.answers, strict=True)
        ),
        temperature=temperature,
        abstain_below=members[0].artefact.spec.abstain_below if guess is None else guess,
        seed=plan.seed,
        own_faces=own,
        optimism=round(own.value - validation.ensemble.accuracy.value, 6),
        fold_weights=tuple(tuple(row) for row in nested.weights.round(_DIGITS).tolist()),
        latency=latency_of(together, plan.threads),
        validation=validation,
        test=None if test is None else _split(members, test, weighted_mean(test.rows, weights), temperature),
    )


def _split(members: Sequence[_Member], said: _Said, mean: NDArray[np.float64], temperature: float) -> EnsembleSplit:
    """Compare on one split; the first member is the one that was best on validation faces."""
    labels, equal = said.labels, said.rows.mean(axis=0)
    right, best, level = ((rows.argmax(axis=1) == labels) for rows in (mean, said.rows[0], equal))
    return EnsembleSplit(
        data=said.data,
        ensemble=_figures(as_logits(mean), labels, temperature),
        members=tuple(_figures(as_logits(rows), labels, 1.0) for rows in said.rows),
        best=members[0].name,
        equal=_figures(as_logits(equal), labels, 1.0),
        over_best=paired_estimate(right, best),
        over_equal=paired_estimate(right, level),
    )


def _figures(logits: NDArray[np.float64], labels: Labels, temperature: float) -> Figures:
    found = score(logits, labels)
    return Figures(
        accuracy=share(logits.argmax(axis=1) == labels),
        balanced_accuracy=round(float(np.nanmean(found.recall)), 6),
        recall_deviation=round(found.recall_deviation, 6),
        nll=round(negative_log_likelihood(logits, labels, temperature), 6),
    )


def _write(plan: Plan, members: Sequence[tuple[_Member, float]], record: EnsembleRecord) -> None:
    """The ensemble's folder: whole, or as it was."""
    validation = record.validation
    spec = EnsembleSpec(
        task="ensemble",
        members=tuple(EnsembleMember(name=member.name, weight=weight) for member, weight in members),
        temperature=record.temperature,
        abstain_below=record.abstain_below,
        accuracy=NestedAccuracy(
            dataset=f"{validation.data.name}, validation split, by nested folds",
            images=validation.data.faces,
            accuracy=round(validation.ensemble.accuracy.value, 4),
        ),
        source=f"weighted mean of {', '.join(member.name for member, _ in members)}",
        licence="; ".join(dict.fromkeys(member.artefact.spec.licence for member, _ in members)),
        card=f"{plan.name}.md",
    )
    with assembling(plan.out) as folder:
        entries: dict[str, ModelSpec] = {plan.name: spec}
        for member, _ in members:
            entries |= _copied(member, plan.out, folder)
        if not (folder / MANIFEST).exists():
            entries |= _detector(folder)
        write_record(folder / f"{plan.name}.ensemble.json", record)
        write_card(folder, spec, ensemble_card(plan.name, spec, record))
        update_manifest(folder, entries)


def _copied(member: _Member, out: Path, folder: Path) -> dict[str, ModelSpec]:
    """Copy a member's files, and its network of landmarks where it has one, unless the ensemble's folder has them."""
    spec = member.artefact.spec
    needed: dict[str, NetworkEntry] = {member.name: spec}
    if spec.branch is not None:
        needed[spec.branch.landmarks] = member.store.spec(spec.branch.landmarks, "landmarks")
    known = ModelStore(out).specs if (out / MANIFEST).exists() else {}
    for name, entry in needed.items():
        there = known.get(name)
        if there is not None and not (isinstance(there, NetworkEntry) and there.hashes == entry.hashes):
            raise ModelError(
                f"expected the file of `{name}` or none of that name in {out}, found another; choose another --out"
            )
    return {name: copy_entry(member.store, entry, folder) for name, entry in needed.items() if name not in known}


def _detector(folder: Path) -> dict[str, ModelSpec]:
    """The shipped detector, without which a folder of models finds no face."""
    packaged = ModelStore()
    shutil.copy(packaged.folder / _LICENCE, folder)
    others = {name: spec for name, spec in packaged.networks.items() if not isinstance(spec, ClassifierSpec)}
    return {name: copy_entry(packaged, spec, folder) for name, spec in others.items()}

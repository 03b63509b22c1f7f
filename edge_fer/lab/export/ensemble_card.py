"""The card of an ensemble, made from what was measured."""

from __future__ import annotations

from edge_fer.inference.manifest import EnsembleSpec
from edge_fer.lab.evaluation.ensemble_record import EnsembleRecord, EnsembleSplit, Figures
from edge_fer.lab.evaluation.tables import percent, points, spread, table


def ensemble_card(name: str, spec: EnsembleSpec, record: EnsembleRecord) -> str:
    """The card of an ensemble; every figure on it is the record's.

    Args:
        name: name of the ensemble in the manifest.
        spec: its entry there.
        record: what was measured.
    """
    listed = ", ".join(f"{member.weight:g} `{member.name}`" for member in spec.members)
    parts = [
        f"# {name}",
        f"An ensemble: the weighted mean of the probabilities of {listed}, at temperature {record.temperature:g}. What "
        "its members are, were trained on and must not be trusted with stands on their cards, and holds for it, too.",
        f"Licence: {spec.licence}.",
        "## Measured",
        *split_tables(record),
        "Weights by differential evolution (Storn and Price, 1997), for accuracy, then for likelihood, on validation "
        f"faces. On these faces it is right on {spread(record.own_faces)}; by nested folds (weights for each fifth of "
        f"the faces chosen on the others) {100 * record.optimism:.2f} points less: so far do chosen weights flatter.",
        f"One face on the processor, p50 / p95, {record.latency.threads} threads "
        f"({record.machine.get('processor', 'unknown processor')}): {record.latency.p50_ms:.1f} / "
        f"{record.latency.p95_ms:.1f} ms for all members one after the other. With an Edge TPU for each, it takes as "
        "long as the slowest member.",
        f"Labels with a confidence below {record.abstain_below:g} are withheld.",
    ]
    return "\n\n".join(parts) + "\n"


def split_tables(record: EnsembleRecord) -> list[str]:
    """A table for each split that was read, and the differences in words."""
    parts = []
    for split in (record.validation, record.test):
        if split is not None:
            labels = "" if split.data.labels == "first" else ", second labels"
            how = ", by nested folds" if split is record.validation else ", read once, after the weights were chosen"
            parts += [
                f"{split.data.faces:,} {split.data.split} faces of {split.data.name}{labels}{how}:",
                _table(record, split),
                f"Accuracy of the ensemble less that of its best member, `{split.best}`: {points(split.over_best)} "
                f"points; less that of equal weights: {points(split.over_equal)} points (95 % intervals for paired "
                "shares, Newcombe 1998).",
            ]
    return parts


def _table(record: EnsembleRecord, split: EnsembleSplit) -> str:
    members = zip(record.members, split.members, strict=True)
    rows = [["**ensemble**", *_cells(split.ensemble), f"{record.latency.p50_ms:.1f} ms", ""]]
    rows.append(["equal weights", *_cells(split.equal), "", ""])
    rows += [
        [f"`{member.name}`", *_cells(figures), f"{member.latency.p50_ms:.1f} ms", f"{member.weight:g}"]
        for member, figures in members
    ]
    heads = [
        "",
        "accuracy (95 % interval)",
        "balanced accuracy",
        "deviation of the recalls",
        "NLL",
        "one face",
        "weight",
    ]
    return table(heads, rows)


def _cells(figures: Figures) -> list[str]:
    return [
        spread(figures.accuracy),
        percent(figures.balanced_accuracy),
        percent(figures.recall_deviation),
        f"{figures.nll:.3f}",
    ]

"""What the labels of a network mean: its own words, and what they become; see `edge_fer.inference.manifest`."""

from __future__ import annotations

from pydantic import ValidationInfo

from edge_fer.types import LABELS, Label

LabelMap = dict[str, Label | None]
"""One of the seven expressions for each label of another name, or None to leave it out; labels that become the same
expression are added up, and what remains is scaled to a sum of 1."""


def check_labels(labels: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse labels of which one is there twice.

    Raises:
        ValueError: what was expected and found.
    """
    twice = {label for label in labels if labels.count(label) > 1}
    if twice:
        raise ValueError(f"expected every label once, found {', '.join(sorted(twice))} more than once")
    return labels


def check_label_map(label_map: LabelMap, info: ValidationInfo) -> LabelMap:
    """Refuse a map that does not say what becomes of every label, or leaves one of the seven without any.

    Args:
        label_map: the field `label_map`.
        info: the fields before it, `labels` among them.

    Raises:
        ValueError: what was expected and found.
    """
    labels: tuple[str, ...] = info.data.get("labels", LABELS)
    for label in label_map:
        if label not in labels:
            raise ValueError(f"expected labels of this network ({', '.join(labels)}), found `{label}`")
    for label in labels:
        if label not in label_map and label not in LABELS:
            raise ValueError(
                f"expected what to make of the label `{label}`, one of {', '.join(LABELS)} or null to leave it "
                "out, found nothing"
            )
    targets = targets_of(labels, label_map)
    missing = [label for label in LABELS if label not in targets]
    if missing:
        raise ValueError(f"expected a label of the network for each of the seven, found none for {missing[0]}")
    return label_map


def targets_of(labels: tuple[str, ...], label_map: LabelMap) -> tuple[str | None, ...]:
    """For each label the one of the seven that it becomes; None where it is left out."""
    return tuple(label_map.get(label, label) for label in labels)

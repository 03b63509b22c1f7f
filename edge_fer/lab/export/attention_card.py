"""The card of an attention, made from what was measured."""

from __future__ import annotations

from edge_fer.inference.manifest_aggregate import AggregateSpec
from edge_fer.lab.evaluation.tracks_record import TracksRecord
from edge_fer.lab.evaluation.tracks_table import tracks_tables


def attention_card(name: str, spec: AggregateSpec, record: TracksRecord) -> str:
    """The card of an attention; every figure on it is the record's.

    Args:
        name: name of the attention in the manifest.
        spec: its entry there.
        record: what was measured.
    """
    trained = ", ".join(f"{key} {value}" for key, value in record.training.items())
    synthetic = any(evaluation.data.synthetic for evaluation in record.evaluations)
    parts = [
        f"# {name}",
        "The two attentions and the head of a Frame Attention Network (Meng et al., 2019) on the features of "
        f"`{spec.of}`: they weigh the frames of a face over some seconds, and give one label for all. What the "
        "classifier is, was trained on and must not be trusted with stands on its card, and holds here, too.",
        f"File: `{spec.file}`, sha256 `{spec.sha256[:16]}...`. Classifier: `{record.model.file}`, sha256 "
        f"`{record.model.sha256[:16]}...`. Licence: {spec.licence}.",
        "## Measured",
        *tracks_tables(record),
        f"One answer over 16 frames takes {record.attend_us:.0f} us (median, numpy, "
        f"{record.machine.get('processor', 'unknown processor')})."
        if record.attend_us
        else "",
        "## Training",
        f"On the features that the INT8 classifier gives ({trained})." if trained else "With its network, end to end.",
        "## Limits",
    ]
    if synthetic:
        parts.append(
            "Synthetic tracks are single photos that move, with frames that are spoiled. They show resistance to bad "
            "frames: small, blurred, dark, turned, displaced or covered faces, and another person's. They do not show "
            "how an expression rises, holds and fades, since no person appears twice; nothing of that was measured."
        )
    else:
        parts.append("What was measured holds for clips like these; bad frames were not counted.")
    return "\n\n".join(part for part in parts if part) + "\n"

"""What an export measured, as JSON: together with evaluations the only source of a model card's numbers.

`edge-fer lab export` writes `edge-fer/export/1` (here), `edge-fer lab evaluate` writes
`edge-fer/evaluation/1` (`evaluation.record`). Shares and accuracies are 0..1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from edge_fer.lab.files import Record

if TYPE_CHECKING:  # a card needs no quantizer
    from edge_fer.lab.export.layer_errors import LayerReport
    from edge_fer.lab.export.quantize import Choice


class Candidate(Record):
    """One way to set the ranges of the quantized network.

    Attributes:
        name: name of the way, such as `percentile 95`.
        logit_rmse: root mean square error of its logits against float32.
        agreement: part of the faces on which it names the expression that float32 names.
        accuracy: its accuracy on these faces.
    """

    name: str
    logit_rmse: float
    agreement: float
    accuracy: float


class RangeChoice(Record):
    """How the ranges of the quantized network were set.

    Attributes:
        faces: how many faces of the training split the ranges were measured on.
        shown: how these became crops, in words.
        seed: seed of their draw.
        chosen_on: validation faces that the candidates were compared on.
        candidates: all ways that were compared.
        chosen: name of the best candidate.
    """

    faces: int
    shown: str
    seed: int
    chosen_on: int
    candidates: tuple[Candidate, ...]
    chosen: str


ThresholdOrigin = Literal["measured", "start", "default"]


class Validation(Record):
    """What the export measured on validation faces.

    Attributes:
        dataset: which faces, in words.
        images: how many faces.
        float32: accuracy before quantization.
        int8: accuracy after quantization.
        agreement: part of the faces on which both name the same expression.
        temperature: fitted to the INT8 logits on these faces.
        abstain_below: confidence below which a label counts as a guess.
        abstain_from: `measured`: below it labels are more often wrong than right on these faces; `start`: that of the
            network which training went on from; `default`: neither is known.
        nll_before: negative log likelihood of the INT8 logits, nats.
        nll_after: negative log likelihood at that temperature, nats.
    """

    dataset: str
    images: int
    float32: float
    int8: float
    agreement: float
    temperature: float
    abstain_below: float
    abstain_from: ThresholdOrigin = "measured"
    nll_before: float
    nll_after: float


class LayerError(Record):
    """What quantization costs one layer.

    Attributes:
        name: name of the layer.
        operator: such as `CONV_2D`.
        snr_db: signal-to-noise ratio of its output, decibels.
        drop_db: how far that is below the ratio of its worst input, decibels.
    """

    name: str
    operator: str
    snr_db: float
    drop_db: float


class Export(Record):
    """The record `edge-fer/export/1`.

    Attributes:
        sha256: hash of the .tflite file.
        source: where the weights come from.
        licence: licence of the weights.
        about_weights: a paragraph on these weights; empty where nothing is known.
        training_data: a paragraph on what they were trained on; empty where nothing is known.
        limits: a paragraph on what they must not be trusted with; empty where nothing is known.
        network: name of the network.
        publication: the network's full name and where it was published.
        parameters: trained numbers.
        resolution: side of the picture that the network's layers work on, pixels.
        balance: how much rare labels are named more often than training made it; see `balance.adjustment`.
        coloured: how many of the faces that the ranges were measured on have any colour; None: the network takes grey.
        operators: operators of the INT8 file, with versions and counts.
        calibration: how the ranges were set.
        validation: what was measured on validation faces.
        layers: the layers that lose most, worst first.
    """

    schema_: Literal["edge-fer/export/1"] = Field("edge-fer/export/1", alias="schema")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    source: str
    licence: str
    about_weights: str = ""
    training_data: str = ""
    limits: str = ""
    network: str = "se_resnet50"
    publication: str = "SE-ResNet-50 (Hu et al., 2018, in the variant of VGGFace2, Cao et al., 2018)"
    parameters: int
    resolution: int
    balance: float = 0.0
    coloured: int | None = None
    operators: str
    calibration: RangeChoice
    validation: Validation
    layers: tuple[LayerError, ...] = ()


def range_choice(choice: Choice, faces: int, shown: str, seed: int) -> RangeChoice:
    """The record of how ranges were chosen.

    Args:
        choice: the choice.
        faces: how many faces the ranges were measured on.
        shown: how these became crops, in words.
        seed: seed of their draw.
    """
    named = {cost: _way(cost.percentile) for cost in choice.costs}
    return RangeChoice(
        faces=faces,
        shown=shown,
        seed=seed,
        chosen_on=choice.faces,
        candidates=tuple(
            Candidate(name=name, logit_rmse=cost.rmse, agreement=cost.agreement, accuracy=cost.accuracy)
            for cost, name in named.items()
        ),
        chosen=named[choice.chosen],
    )


def _way(percentile: float) -> str:
    return "min/max" if percentile == 100 else f"percentile {percentile:g}"


def worst_layers(report: LayerReport, count: int) -> tuple[LayerError, ...]:
    """The record of the layers that lose most."""
    return tuple(
        LayerError(name=layer.name, operator=layer.operator, snr_db=layer.snr_db, drop_db=layer.drop_db)
        for layer in report.worst(count)
    )

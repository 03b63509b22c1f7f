"""The card of a one-pass detector, made from what its export measured."""

from __future__ import annotations

from edge_fer.errors import ModelError
from edge_fer.inference.manifest_detect import DetectorSpec
from edge_fer.lab.evaluation.detection_record import DetectionEvaluation, detection_table
from edge_fer.lab.evaluation.tables import percent
from edge_fer.lab.export.detector_record import DetectorExport
from edge_fer.lab.export.model_card import file_table, predicted
from edge_fer.lab.tflite.graph import Graph
from edge_fer.types import LABELS


def detector_card(
    name: str,
    spec: DetectorSpec,
    graph: Graph,
    record: DetectorExport,
    evaluation: DetectionEvaluation | None = None,
) -> str:
    """The card; every figure on it is one of the arguments'.

    Args:
        name: name of the network in the manifest.
        spec: its entry there.
        graph: the graph of its file.
        record: the record of its export.
        evaluation: the network beside others; None: that was not measured.

    Raises:
        ModelError: when a record is of another file.
    """
    others = {record.sha256, *(one.detectors[0].sha256 for one in (evaluation,) if one)} - {spec.sha256}
    if others:
        raise ModelError(
            f"expected records of {spec.file}, found some of another file; export or evaluate {name} again"
        )
    provenance = record.provenance
    anchors = ", ".join(f"{width:g}x{height:g}" for width, height in spec.anchors)
    chosen = ", ".join(f"{percent(value)} with {kind}" for kind, value in record.candidates.items())
    beside = [] if evaluation is None else [
        "## Beside others",
        f"{evaluation.pictures:,} pictures, {evaluation.faces:,} faces: {evaluation.dataset}.",
        detection_table(evaluation.detectors),
    ]  # fmt: skip
    parts = [
        f"# {name}",
        f"{record.network}, {record.width:g} of its width, that finds faces and names the expression\nof each: "
        f"{', '.join(LABELS)}.",
        f"{file_table(name, spec, graph, record.parameters)}\n"
        f"| anchors | {anchors} pixels of the input |\n"
        f"| a face from | an objectness of {spec.score:g}, unless the settings say otherwise |\n"
        f"| probabilities | the softmax of the logits divided by {spec.temperature:.2f} |\n"
        f"| operators | {record.operators} |",
        "## Measured",
        f"{record.pictures:,} pictures that nothing was chosen on: {record.dataset}. Average precision at an overlap "
        "of 0.5.",
        detection_table([record.float32, record.int8]),
        *beside,
        "## Quantization",
        f"INT8 throughout, ranges from {record.calibrated_on} training pictures. They reach as far as "
        f"{record.percentile:g} % of these do, which was best of what was tried on {record.chosen_on} validation "
        f"pictures: mean average precision {chosen}.",
        *predicted(graph, "one picture"),
        "## Source and licence",
        f"Weights: {provenance.source}. Licence: {provenance.licence}. {provenance.about_weights}".strip(),
        "## Training data",
        provenance.training_data.strip() or "Not stated.",
        "## Intended use and limits",
        "Research on, and demonstration of, faces and expressions in one pass on small devices. Where it was trained "
        "on scenes made of face crops, it has seen no real photograph of several people, and no colour but tints. "
        f"{provenance.limits}".strip(),
        "Do not decide anything about a person with it. In the European Union, inferring emotions at work and in "
        "education is prohibited (AI Act, Article 5), and elsewhere people must be told (Article 50).",
    ]
    return "\n\n".join(parts) + "\n"

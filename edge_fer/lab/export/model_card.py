"""Model cards, made from what was measured.

Mitchell et al., "Model Cards for Model Reporting", 2019.
"""

from __future__ import annotations

from collections.abc import Sequence

from edge_fer.errors import ModelError
from edge_fer.expression.face_features import FEATURES
from edge_fer.inference.manifest import ClassifierSpec, NetworkEntry
from edge_fer.lab.edgetpu.check import cost
from edge_fer.lab.edgetpu.latency_model import predict
from edge_fer.lab.evaluation.published import EMONET_RESNET50, FERPLUS, Published
from edge_fer.lab.evaluation.record import Evaluation, ModeName
from edge_fer.lab.evaluation.tables import described, percent, points, spread, table, tables
from edge_fer.lab.export.export_record import Export, RangeChoice, Validation
from edge_fer.lab.tflite.graph import Graph
from edge_fer.types import LABELS

_WEAK = 0.5  # recall below which an expression is called weak

_FER2013_ANCHORS = (EMONET_RESNET50,)


def classifier_card(
    name: str, spec: ClassifierSpec, graph: Graph, export: Export, evaluations: Sequence[Evaluation] = ()
) -> str:
    """The card of a classifier; every figure on it is one of the arguments'.

    Args:
        name: name of the model in the manifest.
        spec: its entry there.
        graph: the graph of its file.
        export: the record of its export.
        evaluations: evaluations of the same file; those with second labels may be of another, which is then named.

    Raises:
        ModelError: when a record is of another file.
    """
    _check_file(spec, export, evaluations)
    resolution = f"{export.resolution} pixels a side" if export.resolution != spec.input.size else "its full size"
    parts = [
        f"# {name}",
        f"{export.publication or export.network} that names the expression of\na face: {', '.join(LABELS)}.",
        f"{file_table(name, spec, graph, export.parameters)}\n"
        f"| output | {_output(spec)}; divided by the temperature {spec.temperature:.2f} before the softmax |\n"
        f"| resolution of the layers | {resolution} |\n"
        f"{_region(spec)}"
        f"{_balance(export)}"
        f"{_second_input(spec)}"
        f"| gives no label below | a confidence of {spec.abstain_below:.2f}"
        f"{_why(export.validation)}, unless the settings say otherwise |",
        *_measured(export, evaluations),
        *_beside_published(evaluations),
        *_quantization(export, graph),
        *predicted(graph, "one face"),
        "## Source and licence",
        _paragraph(f"Weights: {export.source}. Licence: {export.licence}.", export.about_weights),
        "## Training data",
        export.training_data.strip() or "Not stated.",
        "## Intended use and limits",
        _paragraph(
            "Research on, and demonstration of, expression recognition on small devices. The output says what "
            "annotators would call the look of a face; it does not say what a person feels.",
            *_weakness(evaluations),
            _colour(export),
            export.limits,
        ),
        "Do not decide anything about a person with it. In the European Union, inferring emotions at work and in "
        "education is prohibited (AI Act, Article 5), and elsewhere people must be told (Article 50).",
    ]
    return "\n\n".join(parts) + "\n"


def _region(spec: ClassifierSpec) -> str:
    """The row of the table on the network that says where to look; nothing where the whole face is seen."""
    if spec.region is None:
        return ""
    return (
        f"| looks at | the region of the face that `{spec.region.file}`, sha256 `{spec.region.sha256[:16]}...`, says; "
        "on the CPU only |\n"
    )


def _balance(export: Export) -> str:
    """The row of the table on rare labels; nothing where they are as training made them."""
    text = (
        f"| rare expressions | named more often: {export.balance:g} of the log of each share is taken off its logit |\n"
    )
    return text if export.balance else ""


def _output(spec: ClassifierSpec) -> str:
    """What the file gives, and how it becomes logits where it is none."""
    logits = f"{len(LABELS)} logits"
    if spec.branch is None or spec.features is None:
        return logits
    return f"{spec.features.width} features of the picture; of these and of the second input {logits}"


def _second_input(spec: ClassifierSpec) -> str:
    """The row of the table on hand-made features; nothing where the picture is all that is read."""
    if spec.branch is None:
        return ""
    return (
        f"| second input | {FEATURES:,} hand-made features of the face at 48 pixels: 68 landmarks by "
        f"`{spec.branch.landmarks}`, and HOG; the layers that join them with the picture's: `{spec.branch.file}` |\n"
    )


def _why(validation: Validation) -> str:
    """Where the threshold comes from, where it was not measured."""
    match validation.abstain_from:
        case "measured":
            return ""
        case "start":
            return " (that of the network it was trained further from; too few validation faces to measure its own)"
        case "default":
            return " (not measured: too few validation faces)"


def _check_file(spec: ClassifierSpec, export: Export, evaluations: Sequence[Evaluation]) -> None:
    """All records are of the file that the card is of, but those with second labels."""
    found = {"the export": export.sha256}
    found |= {described(one): one.model.sha256 for one in evaluations if one.data.labels == "first"}
    for what, sha256 in found.items():
        if sha256 != spec.sha256:
            raise ModelError(
                f"expected figures of {spec.file} with sha256 {spec.sha256[:12]}..., found those of {sha256[:12]}... "
                f"({what}); export or evaluate again"
            )


def file_table(name: str, spec: NetworkEntry, graph: Graph, parameters: int) -> str:
    """The first rows of a card: file, parameters and input."""
    picture = spec.input
    shape = graph.shape(graph.inputs[0])
    return f"""| | |
|---|---|
| file | `{name}.tflite`, sha256 `{spec.sha256[:16]}...`, {spec.quantization} |
| parameters | {parameters:,} |
| input | {shape}, NHWC, {picture.colour}: (pixel / 255 - {_each(picture.means)}) / {_each(picture.stds)} |"""


def _each(values: tuple[float, ...]) -> str:
    """One number for all channels, or one for each."""
    numbers = [f"{value:.6g}" for value in values]
    return numbers[0] if len(set(numbers)) == 1 else f"({', '.join(numbers)})"


def _measured(export: Export, evaluations: Sequence[Evaluation]) -> list[str]:
    """What the export measured, then every evaluation of this file."""
    found = export.validation
    parts = [
        "## Measured",
        "### At export",
        f"On {found.images:,} faces: {found.dataset}.",
        table(["", "float32", "INT8"], [["accuracy", percent(found.float32), percent(found.int8)]]),
        f"Both name the same expression on {found.agreement:.2%} of these faces. The temperature was fitted on them "
        f"(Guo et al., 2017): negative log likelihood {found.nll_before:.3f} before, {found.nll_after:.3f} after.",
    ]
    for one in evaluations:
        if one.data.labels == "first":
            threads = f"{one.machine.get('processor', 'unknown processor')}, {one.date[:10]}"
            parts += [f"### {described(one)}", f"Measured on: {threads}.", tables(one, level=4)]
    return parts


def _beside_published(evaluations: Sequence[Evaluation]) -> list[str]:
    """Our test figures beside those of others on the same data, and why they are not quite the same task."""
    parts = []
    for one in evaluations:
        crops = one.mode("crops")
        if crops is None or one.data.split != "test" or one.data.name != "ferplus":
            continue
        if one.data.labels == "second":
            rows = [*_anchors(_FER2013_ANCHORS), [f"`{one.model.file}`, not shipped", spread(crops.model.accuracy)]]
            parts += [
                f"FER2013 test, its own labels, {one.data.faces:,} faces. Ours are the faces that count under FER+'s "
                "convention, and the network has a head of its own for these labels:",
                table(["", "accuracy"], rows),
                *([] if crops.comparison is None else [_second_comparison(one)]),
            ]
        elif crops.model.eight_class is not None:
            eight = crops.model.eight_class
            rows = [*_anchors(FERPLUS), [f"`{one.model.file}`", spread(eight.accuracy)]]
            parts += [
                f"FER+ test, eight classes: {eight.faces:,} faces, the {eight.contempt} led by contempt counted as "
                "errors. FER+'s own evaluation leaves out faces on which no expression has more than half of the "
                "votes; ours keeps them where one leads:",
                table(["", "accuracy"], rows),
            ]
    return ["## Beside published figures", *parts] if parts else []


def _anchors(anchors: Sequence[Published]) -> list[list[str]]:
    return [[name, f"{accuracy:.2%}"] for name, accuracy in anchors]


def _second_comparison(evaluation: Evaluation) -> str:
    crops, against = evaluation.mode("crops"), evaluation.against
    assert crops is not None
    assert crops.comparison is not None
    assert against is not None
    return f"Its accuracy less that of `{against.file}`: {points(crops.comparison.difference)} points."


def _quantization(export: Export, graph: Graph) -> list[str]:
    parts = [
        "## Quantization",
        f"Ranges from {export.calibration.faces:,} faces of the training split (seed {export.calibration.seed}), "
        f"{export.calibration.shown}; convolutions with one scale a channel, dense layers with one scale. "
        f"Operators: {graph.summary()}. No version is newer than TensorFlow 2.5's.",
        _ranges(export.calibration),
    ]
    if export.layers:
        rows = [
            [f"`{layer.name}`", layer.operator, f"{layer.snr_db:.1f}", f"{layer.drop_db:.1f}"]
            for layer in export.layers
        ]
        parts += [
            "Where most is lost, as signal to noise of each layer's output against float32:",
            table(["layer", "operator", "dB", "less than its worst input, by dB"], rows),
        ]
    return parts


def predicted(graph: Graph, what: str) -> list[str]:
    """What it would take on boards with an Edge TPU, as parts of a card.

    Args:
        graph: the graph of its file.
        what: what it takes that time for, such as `one face`.
    """
    work = cost(graph, graph.nodes)
    rows = [
        [each.board, f"{each.milliseconds:.0f} ms", f"{each.alike.median:.0%}, {each.alike.worst:.0%}"]
        for each in predict(work)
    ]
    return [
        "## On an Edge TPU: predicted, not measured",
        f"{work.parameter_bytes / 2**20:.1f} MiB of parameters, of which {work.streamed_bytes / 2**20:.1f} MiB do not "
        f"fit on the chip and are streamed at each inference; {work.macs / 1e9:.2f} G multiplications. Predicted by "
        "`edge-fer lab edgetpu-check` from Coral's published times; the errors are those of its predictions of "
        "published models that are like this one, each from the others (the Pi's are those of the USB Accelerator):",
        table(["board", what, "median and worst error"], rows),
    ]


def _ranges(choice: RangeChoice) -> str:
    rows = [
        [
            f"**{one.name}**" if one.name == choice.chosen else one.name,
            f"{one.logit_rmse:.4f}",
            percent(one.agreement),
            percent(one.accuracy),
        ]
        for one in choice.candidates
    ]
    text = f"How far the ranges reach was chosen on {choice.chosen_on:,} validation faces: {choice.chosen}."
    heads = ["ranges", "error of the logits (RMS)", "same expression as float32", "accuracy"]
    return f"{text}\n\n{table(heads, rows)}" if rows else text


def _weakness(evaluations: Sequence[Evaluation]) -> list[str]:
    """A sentence on what is read worst, from the most telling evaluation: test before validation."""
    order: dict[str, int] = {"test": 0, "validation": 1, "training": 2}
    mode: ModeName = "crops"
    telling = sorted(
        (one for one in evaluations if one.data.labels == "first" and one.mode(mode) is not None),
        key=lambda one: order[one.data.split],
    )
    if not telling:
        return []
    result = telling[0].mode(mode)
    assert result is not None
    known = [(one.recall, one.label) for one in result.model.per_class if one.recall is not None]
    weak = [f"{label} ({recall:.1%})" for recall, label in sorted(known) if recall < _WEAK]
    where = f"on the {telling[0].data.split} faces"
    if weak:
        return [f"Fewer than half of the faces of {_listed(weak)} get their name {where}."]
    recall, label = min(known)
    return [f"The expression read worst {where} is {label}: {recall:.1%} of its faces get their name."]


def _colour(export: Export) -> str:
    """A warning of a network that takes colour and has never seen any."""
    if export.coloured != 0:
        return ""
    return (
        f"It takes colour and has never seen any: all {export.calibration.faces:,} faces that its ranges were measured "
        "on are grey, with red, green and blue the same. What it makes of colours is not known; train it on faces in "
        "colour, or as a network that takes grey (`start.colour=grey`)."
    )


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _paragraph(*sentences: str) -> str:
    return " ".join(sentence.strip() for sentence in sentences if sentence.strip())

"""An evaluation as Markdown: the tables of `evaluation.md`, which model cards hold, too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import pstdev

from edge_fer.lab.evaluation.record import Calibration, Estimate, Evaluation, Identity, Measured, ModeResult
from edge_fer.types import LABELS

_MODES = {
    "crops": "the data set's own crops, resized as in training",
    "end-to-end": "crops pasted into frames at random places and sizes, found and cut out by the runtime; "
    "a face that is not found is an error",
}


def evaluation_markdown(evaluation: Evaluation) -> str:
    """The whole evaluation, for people."""
    model, against = evaluation.model, evaluation.against
    files = [["model", f"`{model.file}`, {model.quantization}, sha256 `{model.sha256}`"]]
    if against is not None:
        files.append(["against", f"`{against.file}`, {against.quantization}, sha256 `{against.sha256}`"])
    files.append(["faces", f"{described(evaluation)}, sha256 `{evaluation.data.sha256}`"])
    files.append(["date", evaluation.date])
    files += [[key, value] for key, value in evaluation.machine.items()]
    files.append(["versions", ", ".join(f"{name} {number}" for name, number in evaluation.versions.items())])
    files.append(["settings", ", ".join(f"{name} {_setting(value)}" for name, value in evaluation.settings.items())])
    title, pictures = f"# {model.name} on {evaluation.data.split} faces", "![](reliability.png)\n\n![](confusion.png)\n"
    return "\n\n".join([title, table(["", ""], files), tables(evaluation), pictures])


def summary(evaluation: Evaluation) -> list[str]:
    """The most important figures, a line a mode."""
    lines = [f"{evaluation.model.file} on {described(evaluation)}"]
    for result in evaluation.modes:
        one = result.model
        found = "" if one.miss_rate is None else f", {percent(one.miss_rate.value)} not found"
        beside = "" if result.comparison is None else f"; {points(result.comparison.difference)} points to the other"
        lines.append(
            f"{result.mode}: accuracy {spread(one.accuracy)}{found}, balanced {percent(one.balanced_accuracy)}, "
            f"ECE {one.after.ece:.3f}, {one.latency.p50_ms:.1f} ms{beside}"
        )
    return lines + [f"{one.name}: loss {points(one.loss)} points" for one in evaluation.degradations]


def tables(evaluation: Evaluation, level: int = 2) -> str:
    """Every figure of an evaluation.

    Args:
        evaluation: the record of the evaluation.
        level: level of its headings.
    """
    mark = "#" * level
    parts = []
    for result in evaluation.modes:
        parts += [f"{mark} {result.mode.capitalize()}", _MODES[result.mode][0].upper() + _MODES[result.mode][1:] + "."]
        parts += [_headline(evaluation, result), *_comparison(evaluation, result)]
        parts += [_per_class(result.model), _confusion(result.model)]
    if evaluation.degradations:
        parts += [f"{mark} Degraded crops", _degradations(evaluation)]
    return "\n\n".join([*parts, *evaluation.notes])


def described(evaluation: Evaluation) -> str:
    """Which faces were read, in words."""
    data = evaluation.data
    labels = "" if data.labels == "first" else ", second labels"
    drawn = f"{data.faces:,}" if data.seed is None else f"{data.faces:,} of {data.of:,} (drawn with seed {data.seed})"
    return f"{drawn} {data.split} faces of {data.name}{labels}"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first lean right."""
    lines = [heads, ["---", *("---:" for _ in heads[1:])] if any(heads) else ["---" for _ in heads], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def percent(share: float | None) -> str:
    """A share, or "-" for one that does not exist."""
    return "-" if share is None else f"{share:.1%}"


def recall_deviation(measured: Measured) -> float:
    """Standard deviation of the recalls of the labels that occur, also of a record from before it was stated."""
    if measured.recall_deviation is not None:
        return measured.recall_deviation
    return pstdev(one.recall for one in measured.per_class if one.recall is not None)


def spread(estimate: Estimate) -> str:
    """A share with its interval."""
    return f"{estimate.value:.1%} ({estimate.low:.1%} to {estimate.high:.1%})"


def points(estimate: Estimate) -> str:
    """A difference of two shares in points, with its interval."""
    value, low, high = (100 * number for number in (estimate.value, estimate.low, estimate.high))
    return f"{value:+.2f} ({low:+.2f} to {high:+.2f})"


def _setting(value: str | int | bool | None) -> str:
    return "-" if value is None else str(value)


def _headline(evaluation: Evaluation, result: ModeResult) -> str:
    """One row a figure, one column a model."""
    models = [result.model] if result.against is None else [result.model, result.against]
    if evaluation.against is None:
        heads = [f"{evaluation.model.file} ({evaluation.model.quantization})"]
    else:
        identities = (evaluation.model, evaluation.against)
        names = _names(*identities)
        heads = [f"{name} ({one.quantization})" for name, one in zip(names, identities, strict=True)]
    rows = [[name, *cells] for name, cells in _rows(models)]
    return table(["", *heads], rows)


def _names(ours: Identity, theirs: Identity) -> tuple[str, str]:
    """The files of two models, with a part of their hashes where both have the same name."""
    if ours.file != theirs.file:
        return ours.file, theirs.file
    return f"{ours.file} {ours.sha256[:8]}", f"{theirs.file} {theirs.sha256[:8]}"


def _rows(models: list[Measured]) -> list[tuple[str, list[str]]]:
    rows = [("faces", [f"{one.faces:,}" for one in models])]
    rows.append(("accuracy (95 % interval)", [spread(one.accuracy) for one in models]))
    if models[0].miss_rate is not None:
        rows.append(("not found", [_spread_or_none(one.miss_rate) for one in models]))
        rows.append(("accuracy of the found", [_spread_or_none(one.accuracy_of_found) for one in models]))
    if models[0].eight_class is not None:
        contempt = models[0].eight_class.contempt
        cells = [spread(one.eight_class.accuracy) for one in models if one.eight_class is not None]
        rows.append((f"accuracy with {contempt} faces of contempt as errors", cells))
    rows.append(("balanced accuracy", [percent(one.balanced_accuracy) for one in models]))
    rows.append(("standard deviation of the recalls", [percent(recall_deviation(one)) for one in models]))
    rows.append(("macro F1", [percent(one.macro_f1) for one in models]))
    rows += [_calibrated("at temperature 1", [one.before for one in models])]
    rows += [_calibrated("at its temperature", [one.after for one in models])]
    times = [f"{one.latency.p50_ms:.1f} / {one.latency.p95_ms:.1f} ms" for one in models]
    rows.append((f"one classification, p50 / p95, {models[0].latency.threads} threads", times))
    return rows


def _calibrated(when: str, found: list[Calibration]) -> tuple[str, list[str]]:
    cells = [f"{one.ece:.3f} / {one.nll:.3f} / {one.brier:.3f} (T {one.temperature:.2f})" for one in found]
    return f"ECE / NLL / Brier {when}", cells


def _spread_or_none(estimate: Estimate | None) -> str:
    return "-" if estimate is None else spread(estimate)


def _comparison(evaluation: Evaluation, result: ModeResult) -> list[str]:
    if result.comparison is None or evaluation.against is None:
        return []
    found, (ours, theirs) = result.comparison, _names(evaluation.model, evaluation.against)
    return [
        f"Both name the same expression on {found.agreement:.2%} of the faces. Accuracy of `{ours}` "
        f"less that of `{theirs}`: {points(found.difference)} points (95 % interval for paired shares, "
        f"Newcombe 1998); only the first is right on {found.only_model} faces, only the second on {found.only_against}."
    ]


def _per_class(measured: Measured) -> str:
    rows = [
        [one.label, f"{one.faces:,}", percent(one.precision), percent(one.recall), percent(one.f1)]
        for one in measured.per_class
    ]
    return table(["expression", "faces", "precision", "recall", "F1"], rows)


def _confusion(measured: Measured) -> str:
    width = len(LABELS) + (measured.miss_rate is not None)
    heads = ["is \\ named", *LABELS, "not found"][: width + 1]
    rows = [[label, *map(str, row[:width])] for label, row in zip(LABELS, measured.confusion, strict=True)]
    return table(heads, rows)


def _degradations(evaluation: Evaluation) -> str:
    heads, rows = ["", "accuracy (95 % interval)", "loss (95 % interval)"], []
    text = "Accuracy on the same crops made worse, and the loss against them as they are, in points."
    for one in evaluation.degradations:
        rows.append([one.about, spread(one.accuracy), points(one.loss)])
        if one.against is not None and one.difference is not None:
            rows[-1] += [percent(one.against.value), points(one.difference)]
    if evaluation.against is not None and all(one.against for one in evaluation.degradations):
        name = _names(evaluation.model, evaluation.against)[1]
        heads += [f"{name}: accuracy", "difference (95 % interval)"]
        text += f" Beside it {name}, and the accuracy less its."
    return f"{text}\n\n{table(heads, rows)}"

"""`edge-fer lab evaluate` and `edge-fer lab card`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_fer.errors import ConfigError
from edge_fer.lab.cli.options import LAYOUT_HELP, MODEL_HELP, labels_of, layout_of, model_of, split_of
from edge_fer.lab.datasets.dataset import SPLITS

if TYPE_CHECKING:
    from edge_fer.inference.model_store import ModelStore
    from edge_fer.lab.console import Reporter
    from edge_fer.lab.evaluation.record import Evaluation, ModeName

_MODELS = typer.Option(help="Folder with manifest.yaml; default: the models that edge-fer ships.")
_MODEL = typer.Option(help=MODEL_HELP)


def evaluate(
    data: Annotated[Path, typer.Option(help="Labelled faces: an .npz file, fer2013.csv, or a folder.")],
    models: Annotated[Path | None, _MODELS] = None,
    model: Annotated[str | None, _MODEL] = None,
    layout: Annotated[str, typer.Option(help=LAYOUT_HELP)] = "auto",
    split: Annotated[str, typer.Option(help="train, valid or test.")] = "valid",
    against: Annotated[
        str | None,
        typer.Option(
            help="Measure this beside it: name of a model that edge-fer ships, or a .tflite file.", metavar="MODEL"
        ),
    ] = None,
    mode: Annotated[
        str,
        typer.Option(help="crops: as the data have them; end-to-end: pasted into frames, found and aligned; both."),
    ] = "both",
    degradations: Annotated[
        bool,
        typer.Option("--degradations", help="Also read the crops small, blurred, compressed, dark, turned, moved."),
    ] = False,
    faces: Annotated[int, typer.Option(min=0, help="Only so many faces, drawn at random; 0: all of the split.")] = 0,
    labels: Annotated[
        str, typer.Option(help="first, or second: the second annotator's, such as FER2013's beside FER+'s.")
    ] = "first",
    threads: Annotated[int, typer.Option(min=1, help="Processor threads of a classification.")] = 2,
    out: Annotated[Path | None, typer.Option(help="Folder of the reports; default: out/evaluate/MODEL-SPLIT.")] = None,
) -> None:
    """Measure the very file that is shipped, by the runtime's own classifier, detector and alignment.

    In: a model of the manifest and labelled faces. Out: evaluation.json (every figure), evaluation.md (tables),
    reliability.png and confusion.png: accuracy, balanced accuracy, precision, recall and F1 of each expression,
    what is taken for what, calibration before and after the temperature, latency. Accuracies and differences
    come with 95 % intervals. End to end, a face that is not found counts as an error.

    Example: edge-fer lab evaluate --models my-models --data faces/ --split test --against se_resnet50
    """
    from edge_fer.inference.model_store import ModelStore
    from edge_fer.lab.console import ConsoleReporter
    from edge_fer.lab.evaluation.run import Plan, run_evaluation

    chosen, model = split_of(split), model_of(model, ModelStore(models))
    plan = Plan(
        models=models,
        model=model,
        data=data,
        layout=layout_of(layout),
        split=chosen,
        labels=labels_of(labels),
        against=against,
        modes=_modes(mode),
        degradations=degradations,
        faces=faces,
        threads=threads,
    )
    report = ConsoleReporter()
    folder = out if out is not None else Path("out") / "evaluate" / f"{model}-{SPLITS[chosen]}"
    _write(folder, run_evaluation(plan, report), report)


def _write(folder: Path, evaluation: Evaluation, report: Reporter) -> None:
    from edge_fer.lab.evaluation.plots import plot_confusion, plot_reliability
    from edge_fer.lab.evaluation.tables import evaluation_markdown, summary
    from edge_fer.lab.files import write_record, writing

    write_record(folder / "evaluation.json", evaluation)
    with writing(folder / "evaluation.md") as path:
        path.write_text(evaluation_markdown(evaluation), encoding="utf-8")
    plot_reliability(folder / "reliability.png", evaluation)
    plot_confusion(folder / "confusion.png", evaluation)
    for line in summary(evaluation):
        report.say(line)
    report.say(f"evaluation.json, evaluation.md, reliability.png and confusion.png are in {folder}")


def _modes(name: str) -> tuple[ModeName, ...]:
    found: dict[str, tuple[ModeName, ...]] = {
        "crops": ("crops",),
        "end-to-end": ("end-to-end",),
        "both": ("crops", "end-to-end"),
    }
    if name not in found:
        raise ConfigError(f"expected --mode {', '.join(found)}, found `{name}`")
    return found[name]


def card(
    export: Annotated[Path, typer.Option(help="NAME.export.json, from `edge-fer lab export`.")],
    models: Annotated[Path | None, _MODELS] = None,
    model: Annotated[str | None, _MODEL] = None,
    evaluation: Annotated[
        list[Path] | None, typer.Option(help="evaluation.json, from `edge-fer lab evaluate`; may be given again.")
    ] = None,
) -> None:
    """Write a model's card: what it is, what was measured, what it must not be trusted with.

    In: the manifest, the model and JSON files of measurements. Out: the card beside the model (NAME.md). No
    figure on it is typed by hand; records of another file are refused.

    Example: edge-fer lab card --models my-models --export my-models/my_se_resnet50.export.json
    --evaluation out/evaluate/my_se_resnet50-test/evaluation.json
    """
    from edge_fer.inference.model_store import ModelStore
    from edge_fer.lab.edgetpu.rules import check_int8
    from edge_fer.lab.evaluation.record import Evaluation
    from edge_fer.lab.export.export_record import Export
    from edge_fer.lab.export.model_card import classifier_card
    from edge_fer.lab.files import read_record
    from edge_fer.lab.model_folder import write_card

    store = ModelStore(models)
    if model in store.specs and store.specs[model].task == "detect":
        _write_detector_card(store, model, export, evaluation or [])
        return
    model = model_of(model, store)
    spec, graph = store.spec(model, "classify"), check_int8(store.load(model, "classify"))
    measured = [read_record(path, Evaluation) for path in evaluation or ()]
    write_card(store.folder, spec, classifier_card(model, spec, graph, read_record(export, Export), measured))
    typer.echo(f"{store.folder / spec.card}")


def _write_detector_card(store: ModelStore, name: str, export: Path, evaluations: list[Path]) -> None:
    """The card of a one-pass detector, whose records are others."""
    from edge_fer.lab.edgetpu.rules import check_int8
    from edge_fer.lab.evaluation.detection_record import DetectionEvaluation
    from edge_fer.lab.export.detector_card import detector_card
    from edge_fer.lab.export.detector_record import DetectorExport
    from edge_fer.lab.files import read_record
    from edge_fer.lab.model_folder import write_card

    spec, graph = store.spec(name, "detect"), check_int8(store.load(name, "detect"))
    if len(evaluations) > 1:
        raise ConfigError(f"expected one --evaluation for the detector {name}, found {len(evaluations)}")
    measured = read_record(evaluations[0], DetectionEvaluation) if evaluations else None
    write_card(store.folder, spec, detector_card(name, spec, graph, read_record(export, DetectorExport), measured))
    typer.echo(f"{store.folder / spec.card}")

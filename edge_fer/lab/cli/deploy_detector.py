"""`edge-fer lab export-detector` and `evaluate-detector`: a trained detector on its way to a board."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from edge_fer.errors import ConfigError
from edge_fer.lab.cli.detector import BOXES_HELP, DATA_HELP, PHOTOGRAPHS_HELP


def export_detector(
    weights: Annotated[Path, typer.Option(help="Trained weights of a detector (.npz).")],
    data: Annotated[Path, typer.Option(help=DATA_HELP)],
    boxes: Annotated[Path | None, typer.Option(help=BOXES_HELP)] = None,
    photographs: Annotated[Path | None, typer.Option(help=PHOTOGRAPHS_HELP)] = None,
    out: Annotated[Path, typer.Option(help="Folder of the artefacts; other models in it stay.")] = Path("models"),
    name: Annotated[str, typer.Option(help="Its name in the manifest.")] = "yolov3_tiny",
    about: Annotated[
        Path | None, typer.Option(help="YAML with source, licence, about_weights, training_data, limits: for the card.")
    ] = None,
    pictures: Annotated[int, typer.Option(min=2, help="Validation pictures; a third of them to choose on.")] = 600,
    calibrate_on: Annotated[int, typer.Option(min=1, help="Training pictures to measure ranges on.")] = 256,
    seed: Annotated[int, typer.Option(min=0, help="Of scenes; others than that of the training.")] = 1,
) -> None:
    """Make a deployable detector: convert, quantize to INT8, check, measure; write card, record and manifest.

    Example: edge-fer lab export-detector --weights out/train/yolov3-tiny/best.npz --data ferplus.npz --out my-models
    """
    from edge_fer.lab.console import ConsoleReporter
    from edge_fer.lab.datasets.detection import open_detection_set
    from edge_fer.lab.datasets.detection.scene_set import SceneSource
    from edge_fer.lab.export.detector_job import DetectorPlan
    from edge_fer.lab.export.detector_job import export_detector as export
    from edge_fer.lab.model_folder import assembling
    from edge_fer.lab.weights.detector import load_detector
    from edge_fer.lab.weights.provenance import Provenance, read_provenance

    report, net = ConsoleReporter(), load_detector(weights)
    if net.activation != "relu":
        raise ConfigError(
            f"expected a network with `activation: relu` in {weights}, found {net.activation}, of which an Edge TPU "
            "computes only a part; train it with --set activation=relu"
        )
    found = open_detection_set(data, SceneSource(boxes, photographs, side=net.resolution, seed=seed))
    plan = DetectorPlan(
        name=name,
        provenance=Provenance() if about is None else read_provenance(about),
        calibrate_on=calibrate_on,
        choose_on=pictures // 3,
        measure_on=pictures,
    )
    with assembling(out) as folder:
        record = export(net, found, folder, plan, report)
    floats, ints = record.float32, record.int8
    report.say(
        f"{name}: mAP float32 {floats.mean or 0:.2%}, INT8 {ints.mean or 0:.2%}; faces from 32 pixels "
        f"{floats.faces_from_32 or 0:.2%} and {ints.faces_from_32 or 0:.2%}"
    )
    report.say(f"try it: edge-fer run --models {shlex.quote(str(out))} --detector yolo --camera 0")


def evaluate_detector(
    data: Annotated[Path, typer.Option(help=DATA_HELP)],
    models: Annotated[Path | None, typer.Option(help="Folder with manifest.yaml; default: the shipped models.")] = None,
    model: Annotated[str, typer.Option(help="Name of the detector in the manifest.")] = "yolov3_tiny",
    against: Annotated[
        list[str] | None, typer.Option(help="Also MTCNN with this classifier behind it; may be given again.")
    ] = None,
    boxes: Annotated[Path | None, typer.Option(help=BOXES_HELP)] = None,
    photographs: Annotated[Path | None, typer.Option(help=PHOTOGRAPHS_HELP)] = None,
    pictures: Annotated[int, typer.Option(min=1, help="Validation pictures.")] = 500,
    side: Annotated[int, typer.Option(min=64, help="Of scenes, pixels.")] = 256,
    seed: Annotated[int, typer.Option(min=0, help="Of scenes; others than those of training and export.")] = 2,
    out: Annotated[Path | None, typer.Option(help="Folder of the reports; default: out/evaluate/MODEL.")] = None,
) -> None:
    """Measure a one-pass detector beside MTCNN with classifiers, on the same pictures.

    Out: evaluation.json (every figure) and evaluation.md (tables); `edge-fer lab card` brings them to the card.

    Example: edge-fer lab evaluate-detector --data ferplus.npz --boxes ferplus-boxes.npz --models my-models
    --against se_resnet50 --against lite
    """
    from edge_fer.inference.model_store import ModelStore
    from edge_fer.lab.console import ConsoleReporter
    from edge_fer.lab.datasets.detection import open_detection_set
    from edge_fer.lab.datasets.detection.scene_set import SceneSource
    from edge_fer.lab.evaluation.detection_record import detection_markdown
    from edge_fer.lab.evaluation.detection_run import evaluate_detectors
    from edge_fer.lab.files import write_record, writing

    report, store = ConsoleReporter(), ModelStore(models)
    found = open_detection_set(data, SceneSource(boxes, photographs, side=side, seed=seed))
    evaluation = evaluate_detectors(store, model, against or (), found.validation, pictures, report)
    folder = out if out is not None else Path("out") / "evaluate" / model
    write_record(folder / "evaluation.json", evaluation)
    with writing(folder / "evaluation.md") as path:
        path.write_text(detection_markdown(evaluation), encoding="utf-8")
    for one in evaluation.detectors:
        report.say(
            f"{one.name}: mAP {one.mean or 0:.2%}, faces {one.faces or 0:.2%}, from 32 pixels "
            f"{one.faces_from_32 or 0:.2%}, {one.milliseconds:.1f} ms a picture"
        )
    report.say(f"evaluation.json and evaluation.md are in {folder}")

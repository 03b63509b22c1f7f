"""What a detector learns from, and its training: `edge-fer lab face-boxes`, `aff-wild2`, `scenes`, `train-detector`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from edge_fer.common.text import counted
from edge_fer.lab.cli.options import LAYOUT_HELP, layout_of
from edge_fer.lab.cli.runs import STOPPED, check_folder, device_of, keep_recipe, stop_on_signals
from edge_fer.lab.training.recipe_files import detection_recipe_names

_RECIPES = ", ".join(detection_recipe_names())
_SHOWN = 5

DATA_HELP = (
    "Face crops (an .npz file, fer2013.csv, a folder), of which scenes are made; or pictures with boxes: a .data file "
    "of Darknet, ExpW's folder."
)
BOXES_HELP = "Where the face is in each crop, from `edge-fer lab face-boxes`."
PHOTOGRAPHS_HELP = "Folder of photographs without faces for scenes, beside those that come with scikit-image."


def face_boxes(
    data: Annotated[Path, typer.Argument(help="The face crops: an .npz file, fer2013.csv, or a folder.")],
    out: Annotated[Path, typer.Option(help="The file (.npz).")],
    layout: Annotated[str, typer.Option(help=LAYOUT_HELP)] = "auto",
) -> None:
    """Find the box of the face in each crop once, by the runtime's detector, for scenes to train a detector on.

    Test faces are not looked at.

    Example: edge-fer lab face-boxes ferplus.npz --out ferplus-boxes.npz
    """
    import numpy as np

    from edge_fer.faces.detectors import open_detector
    from edge_fer.inference.model_store import ModelStore
    from edge_fer.lab.console import ConsoleReporter
    from edge_fer.lab.datasets import open_dataset
    from edge_fer.lab.datasets.dataset import Split
    from edge_fer.lab.datasets.detection.face_boxes import SETTINGS, find_boxes, save_boxes

    report, dataset = ConsoleReporter(), open_dataset(data, layout_of(layout))
    with open_detector(SETTINGS, ModelStore()) as detector, report.step(f"boxes of {len(dataset)} faces") as progress:
        boxes = find_boxes(dataset, detector, progress)
    save_boxes(out, dataset, boxes)
    looked_at, found = (dataset.splits != Split.TEST).sum(), np.isfinite(boxes[:, 0]).sum()
    report.say(f"a face was found in {found} of {looked_at} crops: {out}")


def aff_wild2(
    folder: Annotated[Path, typer.Argument(help="Aff-Wild2: videos, Train_Set/ and Validation_Set/ of annotations.")],
    out: Annotated[Path, typer.Argument(help="A new folder.")],
    every: Annotated[int, typer.Option(min=1, help="Take one frame of so many.")] = 10,
) -> None:
    """Bring Aff-Wild2 into Darknet's layout: frames of its videos with boxes by the runtime's detector.

    Videos of training and validation stay apart. Faces that no annotation is surely of have no label.

    Example: edge-fer lab aff-wild2 Aff-Wild2/ affwild2/
    """
    from edge_fer.faces.detectors import open_detector
    from edge_fer.inference.model_store import ModelStore
    from edge_fer.lab.console import ConsoleReporter
    from edge_fer.lab.datasets.detection.affwild2 import convert
    from edge_fer.settings import DetectSettings

    report = ConsoleReporter()
    with open_detector(DetectSettings(), ModelStore()) as detector, report.step("frames of videos") as progress:
        result = convert(folder, out, detector, every, progress)
    _tell(result.left_out)
    labels = ", ".join(f"{label} {count}" for label, count in result.faces.most_common())
    report.say(
        f"{counted(result.pictures['train'], 'picture')} to train on, {result.pictures['valid']} to validate on: "
        f"{labels}"
    )
    report.say(f"{counted(result.without_face, 'frame')} without a face; all is in {out}")


def scenes(
    data: Annotated[Path, typer.Argument(help=DATA_HELP)],
    out: Annotated[Path, typer.Option(help="The picture (.png).")],
    boxes: Annotated[Path | None, typer.Option(help=BOXES_HELP)] = None,
    photographs: Annotated[Path | None, typer.Option(help=PHOTOGRAPHS_HELP)] = None,
    validation: Annotated[bool, typer.Option("--validation", help="Pictures of validation, not of training.")] = False,
    side: Annotated[int, typer.Option(min=64, help="Of a picture, pixels.")] = 256,
    seed: Annotated[int, typer.Option(min=0, help="Other seeds make other scenes.")] = 0,
) -> None:
    """Draw a sheet of what a detector is trained on: faces with a label green, those without red.

    Example: edge-fer lab scenes ferplus.npz --boxes ferplus-boxes.npz --out scenes.png
    """
    from edge_fer.lab.console import ConsoleReporter
    from edge_fer.lab.datasets.detection import open_detection_set
    from edge_fer.lab.datasets.detection.scene_set import SceneSource
    from edge_fer.lab.datasets.detection.sheet import write_sheet

    found = open_detection_set(data, SceneSource(boxes, photographs, side=side, seed=seed))
    _tell(found.left_out)
    write_sheet(out, found.validation if validation else found.training, side)
    ConsoleReporter().say(f"{out}")


def train_detector(
    recipe: Annotated[str, typer.Argument(help=f"{_RECIPES}, or a .yaml file.")],
    data: Annotated[Path, typer.Option(help=DATA_HELP)],
    out: Annotated[Path | None, typer.Option(help="Folder of the run; default: out/train/RECIPE.")] = None,
    boxes: Annotated[Path | None, typer.Option(help=BOXES_HELP)] = None,
    photographs: Annotated[Path | None, typer.Option(help=PHOTOGRAPHS_HELP)] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from its checkpoint; epochs and minutes may change.")
    ] = False,
    change: Annotated[
        list[str] | None, typer.Option("--set", help="Change the recipe: KEY=VALUE, such as scenes.most_faces=3.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[int, typer.Option(min=0, help="Processor threads of the network; 0: torch's choice.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Threads that make batches ahead.")] = 1,
    checkpoint_minutes: Annotated[float, typer.Option(min=0, help="Pause between checkpoints.")] = 5.0,
) -> None:
    """Train a network that finds faces and their expressions in one pass. Ctrl-C ends with a checkpoint.

    The folder of the run gets best.npz and last.npz (for `edge-fer lab export-detector`), log.csv, curves.png,
    recipe.yaml and checkpoint.pt.

    Example: edge-fer lab train-detector yolov3-tiny --data ferplus.npz --boxes ferplus-boxes.npz
    """
    import torch

    from edge_fer.lab.datasets.detection import open_detection_set
    from edge_fer.lab.datasets.detection.scene_set import SceneSource
    from edge_fer.lab.training.detection import DetectionTrainer
    from edge_fer.lab.training.detection_start import initial_detector
    from edge_fer.lab.training.recipe_files import load_detection_recipe
    from edge_fer.lab.training.state import Options
    from edge_fer.lab.training.training_log import ConsoleTrainingReporter

    plan = load_detection_recipe(recipe, change or ())
    folder = out if out is not None else Path("out") / "train" / plan.name
    check_folder(folder, resume=resume)
    if threads:
        torch.set_num_threads(threads)
    chosen_device = device_of(device)
    found = open_detection_set(data, SceneSource(boxes, photographs, plan.scenes, plan.size, plan.seed))
    _tell(found.left_out)
    stopping = stop_on_signals()
    with ConsoleTrainingReporter() as reporter:
        net = initial_detector(plan, found.training, reporter)
        options = Options(chosen_device, workers, checkpoint_minutes * 60, stopping=stopping, reporter=reporter)
        trainer = DetectionTrainer(net, plan, found.training, found.validation, folder, options)
        if resume:
            trainer.resume()
        keep_recipe(folder, plan)
        ended = trainer.fit()
        reporter.say(
            f"weights, log and curves are in {folder}" if ended else f"stopped; go on with --resume ({folder})"
        )
    if not ended:
        raise typer.Exit(STOPPED)


def _tell(left_out: Sequence[str]) -> None:
    """Say what could not be used."""
    from edge_fer.lab.console import ConsoleReporter

    report = ConsoleReporter()
    for line in left_out[:_SHOWN]:
        report.say(f"left out: {line}")
    if len(left_out) > _SHOWN:
        report.say(f"left out: {len(left_out) - _SHOWN} more")

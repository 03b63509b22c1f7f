"""`edge-fer lab layers` and `edge-fer lab explain`: what quantization costs, and what answers rest on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_fer.errors import ConfigError, ModelError
from edge_fer.lab.cli.options import LAYOUT_HELP, MODEL_HELP, NETWORK, layout_of, model_of, split_of
from edge_fer.lab.datasets.dataset import SPLITS, Split
from edge_fer.types import LABELS, Label

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_fer.expression.classifier import Classifier
    from edge_fer.inference.model_store import ModelStore
    from edge_fer.inference.picture_spec import InputSpec
    from edge_fer.lab.console import Reporter
    from edge_fer.lab.explain.explanations import Subject
    from edge_fer.lab.export.layer_errors import LayerReport


_MARKED = 10

_WEIGHTS = typer.Option(help="Weights (.npz) of the float network that the INT8 one was made from.")
_MODELS = typer.Option(help="Folder of artefacts with their manifest; default: those that edge-fer ships.")
_MODEL = typer.Option(help=MODEL_HELP)
_DATA = typer.Option(help="Labelled faces: an .npz file, fer2013.csv, or a folder.")
_SEED = typer.Option(min=0, help="Of the draw of faces.")
_THREADS = typer.Option(min=1, help="Processor threads.")


def layers(
    data: Annotated[Path, _DATA],
    weights: Annotated[Path | None, _WEIGHTS] = None,
    network: Annotated[str | None, NETWORK] = None,
    float_file: Annotated[
        Path | None, typer.Option("--float", help="Float .tflite file instead of --weights, which take a minute.")
    ] = None,
    int8: Annotated[Path | None, typer.Option(help="INT8 .tflite file instead of the manifest's.")] = None,
    models: Annotated[Path | None, _MODELS] = None,
    model: Annotated[str | None, _MODEL] = None,
    layout: Annotated[str, typer.Option(help=LAYOUT_HELP)] = "auto",
    faces: Annotated[int, typer.Option(min=1, help="So many faces of the validation split.")] = 32,
    seed: Annotated[int, _SEED] = 0,
    threads: Annotated[int, _THREADS] = 2,
    out: Annotated[Path | None, typer.Option(help="Folder of the files; default: out/layers/MODEL.")] = None,
) -> None:
    """Show what quantization costs each layer.

    In: the float network (--weights or --float), the INT8 one made from it, and labelled faces. Out: for every
    layer, in the order in which they run, the signal-to-noise ratio of its output, and by how much that is below
    the ratio of its worst input, in decibels; the ten layers that lose most are marked with a star. Errors add
    up from layer to layer, as they do on the device. All of it goes into layers.json, layers.csv and layers.png, too.

    Example: edge-fer lab layers --weights best.npz --models my-models --data faces/
    """
    from edge_fer.inference.model_store import ModelStore
    from edge_fer.lab.console import ConsoleReporter
    from edge_fer.lab.export.layer_errors import compare_layers, write_report
    from edge_fer.lab.export.region import view_of

    if (weights is None) == (float_file is None):
        raise ConfigError("expected either --weights or --float for the float network, found both or neither; give one")
    store = ModelStore(models)
    model = model_of(model, store)
    entry = store.spec(model, "classify")
    spec, region = entry.input, store.read(entry.region) if entry.region else None
    int8_model = store.load(model, "classify") if int8 is None else _content(int8)
    pictures = _some_faces(data, layout, Split.VALIDATION, faces, seed, spec)
    if region is not None:
        pictures = view_of(region, spec)(pictures)
    report = ConsoleReporter()
    features = entry.features is not None
    float_model = _content(float_file) if float_file else _converted(weights, network, report, features=features)
    with report.step(f"running both networks on {len(pictures)} faces") as progress:
        found = compare_layers(float_model, int8_model, pictures, spec, threads=threads, progress=progress)
    for line in _table(found):
        report.say(line)
    folder = out or Path("out") / "layers" / model
    write_report(folder, found)
    report.say(f"layers.json, layers.csv and layers.png are in {folder}")


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"expected a .tflite file at {path}, found: {error.strerror}; check the path") from error


def _converted(weights: Path | None, network: str | None, report: Reporter, *, features: bool) -> bytes:
    from edge_fer.lab.export.convert import convert
    from edge_fer.lab.export.deployed import deployed
    from edge_fer.lab.weights.npz import load_weights

    assert weights is not None
    net = load_weights(weights, network).net
    report.say("converting the weights")
    return convert(deployed(net, gives_features=features), net.side, net.input.channels)


def _some_faces(data: Path, layout: str, split: Split, count: int, seed: int, spec: InputSpec) -> NDArray[np.uint8]:
    import numpy as np

    from edge_fer.errors import SourceError
    from edge_fer.lab.datasets import open_dataset
    from edge_fer.lab.datasets.pictures import resized

    dataset = open_dataset(data, layout_of(layout)).only(split)
    if not len(dataset):
        raise SourceError(f"expected faces in the split {SPLITS[split]} of {data}, found none; check its splits")
    drawn = np.random.default_rng(seed).permutation(len(dataset))[:count]
    return resized(dataset.take(np.sort(drawn)).images, spec.size, colour=spec.colour != "grey")


def _table(report: LayerReport) -> list[str]:
    worst = report.worst(_MARKED)
    wide = max(len(layer.name) for layer in report.layers)
    lines = [f"{'':5}{'layer':{wide}}  {'operator':16}{'output':>16}{'SNR dB':>9}{'drop dB':>9}"]
    for layer in report.layers:
        star = "*" if layer in worst else ""
        shape = "x".join(map(str, layer.shape))
        lines.append(
            f"{layer.number:4} {layer.name:{wide}}  {layer.operator:16}{shape:>16}{layer.snr_db:9.1f}"
            f"{layer.drop_db:9.1f} {star}".rstrip()
        )
    most = worst[0]
    return [
        *lines,
        f"loses most: {most.name} ({most.operator}), {most.drop_db:.1f} dB; the answer is left with "
        f"{report.layers[-1].snr_db:.1f} dB",
    ]


def explain(
    weights: Annotated[Path, _WEIGHTS],
    out: Annotated[Path, typer.Option(help="New folder for pages and pictures. They show faces.")],
    data: Annotated[Path | None, _DATA] = None,
    network: Annotated[str | None, NETWORK] = None,
    images: Annotated[
        list[Path] | None, typer.Option(help="Picture or folder of pictures instead of --data; may be repeated.")
    ] = None,
    models: Annotated[Path | None, _MODELS] = None,
    model: Annotated[str | None, _MODEL] = None,
    layout: Annotated[str, typer.Option(help=LAYOUT_HELP)] = "auto",
    split: Annotated[str, typer.Option(help="train or valid, of --data.")] = "valid",
    look_at_test: Annotated[
        bool, typer.Option("--look-at-test", help="Allow --split test, whose faces should be kept for the last figure.")
    ] = False,
    per_class: Annotated[int, typer.Option(min=1, help="Faces of each label, of --data.")] = 12,
    crops: Annotated[
        bool, typer.Option("--crops", help="The --images are cut-out faces, in which none is to be sought.")
    ] = False,
    label: Annotated[
        str | None, typer.Option(help="Explain this expression, whatever is named; default: what is named.")
    ] = None,
    layer: Annotated[
        str,
        typer.Option(help="Whose maps: a layer of the network, or auto: the last that has 7x7 places or more."),
    ] = "auto",
    seed: Annotated[int, _SEED] = 0,
    threads: Annotated[int, _THREADS] = 2,
) -> None:
    """Show which places of a face raise the expression that the classifier names (Grad-CAM).

    In: the weights, the INT8 model made from them, and faces: of a data set, or in pictures, where the runtime's
    own detector finds them and cuts them out. Out: index.html, a page for each expression with hits and misses,
    and a picture of each face beside the same with heat over it. What is explained is what the INT8 model names;
    where the float network names another one, that is written beside it.

    Example: edge-fer lab explain --weights best.npz --models my-models --data faces/ --out pages

    Example: edge-fer lab explain --weights best.npz --images holiday.jpg --images more/ --out pages
    """
    if (data is None) == (not images):
        raise ConfigError("expected either --data or --images, found both or neither; give one")
    import torch

    from edge_fer.expression.classifier import open_classifier
    from edge_fer.inference.model_store import ModelStore
    from edge_fer.lab.console import ConsoleReporter
    from edge_fer.lab.explain.explanations import explain as explain_all
    from edge_fer.lab.explain.gradcam import choose_layer
    from edge_fer.lab.explain.pages import check_empty, write_pages
    from edge_fer.lab.weights.npz import load_weights
    from edge_fer.settings import ClassifySettings

    chosen_label = None if label is None else _label(label)
    chosen = _split(split, allowed=look_at_test)
    check_empty(out)
    torch.set_num_threads(threads)
    net, store, report = load_weights(weights, network).net, ModelStore(models), ConsoleReporter()
    mapped, side = choose_layer(net, layer)
    model = model_of(model, store)
    with open_classifier(ClassifySettings(backend="cpu", model=model, threads=threads), store) as classifier:
        if data is not None:
            subjects = _labelled(data, layout, chosen, per_class, seed, classifier)
        else:
            subjects = _from_pictures(images or [], store, classifier, crops=crops)
        facts = _facts(subjects, data, chosen, seed) | {
            "INT8 model": model,
            "float network": weights.name,
            "maps": f"{mapped}, {side}x{side}, of a face of {net.resolution}x{net.resolution} pixels",
        }
        with report.step(f"explaining {len(subjects)} faces") as progress:
            explained = explain_all(net, classifier, subjects, mapped, label=chosen_label, progress=progress)
            shown = write_pages(out, explained, facts)
    agree = sum(each.explanation.float_label == each.explanation.expression.label for each in shown)
    report.say(f"INT8 and float32 name the same expression on {agree} of {len(shown)} faces")
    report.say(f"open {out / 'index.html'}")


def _label(name: str) -> Label:
    for label in LABELS:
        if label == name:
            return label
    raise ConfigError(f"expected --label {', '.join(LABELS)}, found `{name}`")


def _split(name: str, *, allowed: bool) -> Split:
    split = split_of(name)
    if split == Split.TEST and not allowed:
        raise ConfigError(
            "expected --split train or valid, found test, whose faces are for the last figure; give "
            "--look-at-test as well if that is past"
        )
    return split


def _labelled(
    data: Path, layout: str, split: Split, per_class: int, seed: int, classifier: Classifier
) -> list[Subject]:
    from edge_fer.errors import SourceError
    from edge_fer.lab.datasets import open_dataset
    from edge_fer.lab.explain.explanations import subjects_of_dataset

    faces = open_dataset(data, layout_of(layout)).only(split)
    if not len(faces):
        raise SourceError(f"expected faces in the split {SPLITS[split]} of {data}, found none; check its splits")
    return subjects_of_dataset(faces, per_class, classifier, seed)


def _from_pictures(paths: list[Path], store: ModelStore, classifier: Classifier, *, crops: bool) -> list[Subject]:
    from edge_fer.faces.detectors import open_detector
    from edge_fer.lab.explain.explanations import subjects_of_crops, subjects_of_frames
    from edge_fer.settings import DetectSettings

    if crops:
        return subjects_of_crops(paths, classifier)
    with open_detector(DetectSettings(), store) as detector:
        return subjects_of_frames(paths, detector, classifier)


def _facts(subjects: list[Subject], data: Path | None, split: Split, seed: int) -> dict[str, str]:
    if data is None:
        return {"faces": f"{len(subjects)}, in pictures"}
    return {"faces": f"{len(subjects)} of the split {SPLITS[split]} of {data.name}, drawn with seed {seed}"}

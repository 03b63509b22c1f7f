"""From trained weights to a deployable classifier: convert, calibrate, quantize, check, measure, describe."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fer.inference.manifest import ClassifierSpec
from edge_fer.inference.manifest_parts import Accuracy, BranchSpec, FurtherOutput, RegionSpec
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.console import Reporter
from edge_fer.lab.datasets.dataset import Split
from edge_fer.lab.datasets.pictures import resized
from edge_fer.lab.edgetpu.rules import check_int8
from edge_fer.lab.evaluation.logits import classify
from edge_fer.lab.evaluation.metrics import agreement, fit_temperature, guessing_below, negative_log_likelihood, score
from edge_fer.lab.evaluation.track_run import TrackSource
from edge_fer.lab.export import balance
from edge_fer.lab.export.attention import attach_attention
from edge_fer.lab.export.calibration import calibration_faces, coloured
from edge_fer.lab.export.convert import check_agreement, convert, parameters
from edge_fer.lab.export.deployed import deployed, feature_width
from edge_fer.lab.export.export_record import Export, ThresholdOrigin, Validation, range_choice, worst_layers
from edge_fer.lab.export.golden_seeds import choose_golden_seeds
from edge_fer.lab.export.job import Job
from edge_fer.lab.export.layer_errors import compare_layers
from edge_fer.lab.export.model_card import classifier_card
from edge_fer.lab.export.quantize import Choice, choose_percentile, measure_extremes
from edge_fer.lab.export.region import Views, views_of
from edge_fer.lab.files import write_record
from edge_fer.lab.model_folder import update_manifest, write_artefact, write_card, write_region
from edge_fer.lab.networks.frame_attention import FrameAttentionNetwork
from edge_fer.lab.networks.two_inputs import TwoInputs
from edge_fer.lab.training.attention_top import AttentionTop
from edge_fer.lab.weights.provenance import Origin
from edge_fer.types import LABELS

_LAYER_FACES, _LAYERS_LISTED = 32, 10
_FEWEST = 100  # validation faces that a temperature can be fitted to
ABSTAIN_BELOW = 0.5
"""Confidence below which labels are withheld where nothing is known: that of the models that edge-fer ships."""

_FROM: dict[ThresholdOrigin, str] = {
    "measured": "below it they are more often wrong than right on the validation faces",
    "start": "as of the network that training went on from; the validation faces are too few to measure it",
    "default": "the default; the validation faces are too few to measure it",
}
_SHOWN = {
    True: "pasted into pictures, found by the runtime's detector and cut out by its alignment",
    False: "as `edge-fer lab faces` found and cut them",
}


def export_classifier(job: Job, folder: Path, store: ModelStore, report: Reporter) -> None:
    """Write the INT8 classifier with its card and manifest entry, measured on the validation faces.

    Args:
        job: the export, checked by `prepare`.
        folder: the folder of the artefacts.
        store: the folder with the detector, for faces that `edge-fer lab faces` has not cut.
        report: receives lines and progress.

    Raises:
        ModelError: when the graph breaks a rule of the Edge TPU.
        SourceError: when a face cannot be read, or the detector finds too few.
        OutputError: when the folder cannot be written.
    """
    plan, net, dataset, name = job.plan, job.net, job.dataset, job.name
    count = min(plan.faces, int((dataset.splits == Split.TRAINING).sum()))
    doing = "finding and aligning" if dataset.crop is None else "reading"
    with report.step(f"{doing} {count} faces to calibrate on") as progress:
        faces = calibration_faces(
            dataset,
            store,
            job.crop,
            count=count,
            size=net.side,
            seed=plan.seed,
            colour=net.input.in_colour,
            progress=progress,
        )
    report.say(f"{name}: converting {net.name()}, which takes a while")
    views = views_of(net, faces, report)
    shipped, channels = deployed(net, gives_features=plan.features), net.input.channels
    float_model = convert(shipped, net.side, channels)
    difference = check_agreement(shipped, float_model, [(1, net.side, net.side, channels)])
    report.say(f"{name}: {parameters(net) / 1e6:.2f} M parameters; float at most {difference:.1e} from PyTorch")
    seen = views.after(faces)
    choice = _quantized(float_model, seen, views, job, report)
    graph = check_int8(choice.model)
    report.say(f"{name}: full INT8 and no rule of the Edge TPU broken: {graph.summary()}")
    layers = compare_layers(float_model, choice.model, seen[:_LAYER_FACES], job.input)
    measured = _measure(float_model, choice.model, views, job, report)
    artefact = write_artefact(folder, name, choice.model)
    facts = Export(
        sha256=artefact["sha256"],
        **job.provenance.model_dump(),
        network=net.name(),
        publication=net.PUBLICATION,
        parameters=parameters(net),
        resolution=net.resolution,
        balance=plan.balance,
        operators=graph.summary(),
        coloured=coloured(faces),
        calibration=range_choice(choice, len(faces), _SHOWN[dataset.crop is None], plan.seed),
        validation=measured,
        layers=worst_layers(layers, _LAYERS_LISTED),
    )
    region = None if views.where is None else write_region(folder, name, views.where)
    branch = None if job.second is None else job.second.write(folder, name)
    failover, difference = choose_golden_seeds(choice.model, views, job, measured.temperature)
    report.say(f"{name}: of its two golden faces, one probability differs by {difference:.2f}")
    spec = _spec(job, measured, artefact, region, branch).model_copy(update={"failover": failover})
    if plan.float_file is not None:
        write_artefact(plan.float_file.parent, plan.float_file.stem, float_model)
    write_record(folder / f"{name}.export.json", facts)
    write_card(folder, spec, classifier_card(name, spec, graph, facts))
    update_manifest(folder, {name: spec})
    if isinstance(net, FrameAttentionNetwork) and net.RELATION:
        with tempfile.TemporaryDirectory() as cache:
            source = TrackSource(dataset, plan.seed, Path(cache))
            attach_attention(AttentionTop(net.attention, net.head), name, folder, source, report)
    report.say(f"licence of the weights: {job.provenance.licence}; --about puts your own words on the card")


def _gives_features(job: Job) -> bool:
    """Whether the file gives features, be it beside the labels or in their place."""
    return job.plan.features or isinstance(job.net, TwoInputs | FrameAttentionNetwork)


def _spec(
    job: Job,
    measured: Validation,
    artefact: Mapping[str, str],
    region: RegionSpec | None,
    branch: BranchSpec | None,
) -> ClassifierSpec:
    """The classifier's entry in the manifest."""
    return ClassifierSpec(
        task="classify",
        input=job.input,
        quantization="int8",
        labels=LABELS,
        features=FurtherOutput(width=feature_width(job.net)) if _gives_features(job) else None,
        region=region,
        branch=branch,
        crop=job.crop,
        temperature=measured.temperature,
        abstain_below=measured.abstain_below,
        accuracy=Accuracy(
            dataset=measured.dataset,
            images=measured.images,
            float32=round(measured.float32, 4),
            int8=round(measured.int8, 4),
            agreement=round(measured.agreement, 4),
        ),
        source=job.provenance.source,
        licence=job.provenance.licence,
        **artefact,
    )


def _quantized(float_model: bytes, faces: NDArray[np.uint8], views: Views, job: Job, report: Reporter) -> Choice:
    """The INT8 network, its ranges set in the way that costs least on some of the validation faces."""
    with report.step(f"measuring ranges on {len(faces)} faces") as progress:
        extremes = measure_extremes(float_model, faces, job.input, progress=progress)
    drawn = np.random.default_rng(job.plan.seed).permutation(len(job.validation))[: job.plan.chosen_on]
    some = job.validation.take(np.sort(drawn))
    with report.step(f"choosing ranges on {len(some)} validation faces") as progress:
        choice = choose_percentile(
            float_model,
            extremes,
            job.input,
            views.after(resized(some.images, job.net.side, colour=job.net.input.in_colour)),
            some.labels,
            branch=job.branch,
            progress=progress,
        )
    report.say(f"{job.name}: ranges reach as far as {choice.chosen.percentile:g} % of the faces do")
    return choice


def _measure(float_model: bytes, int8_model: bytes, views: Views, job: Job, report: Reporter) -> Validation:
    """Run both networks over the validation faces."""
    faces, name, side = job.validation, job.name, job.net.side
    images = resized(faces.images, side, colour=job.net.input.in_colour)
    logits = {}
    for kind, model, view in (("float32", float_model, views.before), ("int8", int8_model, views.after)):
        with report.step(f"{kind} on {len(images)} validation faces") as progress:
            logits[kind] = classify(model, view(images), job.input, branch=job.branch, progress=progress)
    temperature = fit_temperature(logits["int8"], faces.labels) if len(faces) >= _FEWEST else 1.0
    threshold, origin = _threshold(guessing_below(logits["int8"], faces.labels, temperature), job.origin)
    measured = Validation(
        dataset=f"{faces.name}, validation split, crops as they are, enlarged to {side}",
        images=len(faces),
        float32=score(logits["float32"], faces.labels).accuracy,
        int8=score(logits["int8"], faces.labels).accuracy,
        agreement=agreement(logits["float32"], logits["int8"]),
        temperature=temperature,
        abstain_below=threshold,
        abstain_from=origin,
        nll_before=negative_log_likelihood(logits["int8"], faces.labels, 1.0),
        nll_after=negative_log_likelihood(logits["int8"], faces.labels, temperature),
    )
    report.say(
        f"accuracy float32 {measured.float32:.2%}, INT8 {measured.int8:.2%}, same label on {measured.agreement:.2%} "
        f"of {measured.images} faces; temperature {temperature:.2f}"
    )
    for line in balance.lines(logits["int8"], faces.labels, job.training, job.plan.balance):
        report.say(line)
    report.say(f"{name}: labels below a confidence of {threshold:.2f} are withheld ({_FROM[origin]})")
    return measured


def _threshold(measured: float | None, origin: Origin | None) -> tuple[float, ThresholdOrigin]:
    """The confidence below which labels are guesses, and where it comes from."""
    if measured is not None:
        return measured, "measured"
    if origin is not None and origin.abstain_below is not None:
        return origin.abstain_below, "start"
    return ABSTAIN_BELOW, "default"

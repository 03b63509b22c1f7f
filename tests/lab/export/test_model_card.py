"""A card says what was measured, of the file it is of, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from edge_fer.errors import ModelError
from edge_fer.inference.manifest import ClassifierSpec
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.edgetpu.check import cost
from edge_fer.lab.edgetpu.latency_model import predict
from edge_fer.lab.evaluation.record import (
    Bin,
    Calibration,
    ClassResult,
    Comparison,
    Data,
    Degraded,
    EightClass,
    Estimate,
    Evaluation,
    Identity,
    Latency,
    Measured,
    ModeResult,
)
from edge_fer.lab.export.export_record import Candidate, Export, LayerError, RangeChoice, Validation
from edge_fer.lab.export.model_card import classifier_card
from edge_fer.lab.tflite.graph import Graph
from edge_fer.types import LABELS

pytestmark = pytest.mark.lab

STORE = ModelStore()
NAME = "se_resnet50"


@pytest.fixture(scope="module")
def graph() -> Graph:
    return Graph(STORE.load(NAME, "classify"))


@pytest.fixture
def spec() -> ClassifierSpec:
    return STORE.spec(NAME, "classify")


@pytest.fixture
def export(spec: ClassifierSpec) -> Export:
    return Export(
        sha256=spec.sha256,
        source="grown in a test",
        licence="to be read",
        about_weights="Their story.",
        training_data="Nine faces.",
        limits="Not at night.",
        parameters=1234567,
        resolution=112,
        operators="CONV_2D v3 x 1",
        calibration=RangeChoice(faces=77, shown="as they lay about",
            seed=3,
            chosen_on=301,
            candidates=(
                Candidate(name="min/max", logit_rmse=0.4321, agreement=0.971, accuracy=0.71),
                Candidate(name="percentile 99", logit_rmse=0.1234, agreement=0.991, accuracy=0.72),
            ),
            chosen="percentile 99",
        ),
        validation=Validation(
            dataset="some faces", images=3210, float32=0.7654, int8=0.7611, agreement=0.9876, temperature=0.91,
            abstain_below=0.45, nll_before=0.777, nll_after=0.666,
        ),
        layers=(LayerError(name="block/7", operator="ADD", snr_db=12.34, drop_db=5.67),),
    )  # fmt: skip


def estimate(value: float) -> Estimate:
    return Estimate(value=value, low=value - 0.01, high=value + 0.02)


def measured(recalls: tuple[float, ...], *, eight: float | None = None, missed: int = 0) -> Measured:
    calibration = Calibration(
        temperature=0.84, ece=0.0213, nll=0.6, brier=0.3, bins=(Bin(faces=9, confidence=0.5, accuracy=0.4),)
    )
    per_class = tuple(
        ClassResult(label=label, faces=10, precision=0.5, recall=recall, f1=0.5)
        for label, recall in zip(LABELS, recalls, strict=True)
    )
    contempt = None if eight is None else EightClass(faces=73, contempt=3, accuracy=estimate(eight))
    return Measured(
        faces=70, missed=missed, accuracy=estimate(0.8123), balanced_accuracy=0.7, macro_f1=0.6, per_class=per_class,
        miss_rate=estimate(0.05) if missed else None, accuracy_of_found=estimate(0.85) if missed else None,
        confusion=((1, 2, 3, 4, 5, 6, 7, 8),) * 7, before=calibration, after=calibration,
        latency=Latency(threads=2, p50_ms=7.2, p95_ms=9.9), eight_class=contempt,
    )  # fmt: skip


def evaluation(sha256: str, model: Measured, **changes: Any) -> Evaluation:
    rival = Identity(name="float", file="float.tflite", sha256="0" * 64, quantization="float32", temperature=1.0)
    comparison = Comparison(agreement=0.9912, only_model=3, only_against=4, difference=estimate(-0.0014))
    fields: dict[str, Any] = {
        "date": "2026-11-22T10:00:00+00:00",
        "settings": {},
        "versions": {},
        "machine": {"processor": "Abacus"},
        "model": Identity(name=NAME, file=f"{NAME}.tflite", sha256=sha256, quantization="int8", temperature=0.84),
        "against": rival,
        "data": data(),
        "modes": (ModeResult(mode="crops", model=model, against=model, comparison=comparison),),
    }
    return Evaluation(**(fields | changes))


def data(**changes: Any) -> Data:
    fields: dict[str, Any] = {
        "name": "ferplus", "split": "test", "labels": "first", "faces": 70, "of": 70, "seed": None, "side": 48,
        "sha256": "1" * 64,
    }  # fmt: skip
    return Data(**(fields | changes))


GOOD = (0.9, 0.6, 0.8, 0.9, 0.7, 0.8, 0.9)


def test_a_card_without_an_evaluation_tells_what_the_export_measured(
    spec: ClassifierSpec, graph: Graph, export: Export
) -> None:
    card = classifier_card(NAME, spec, graph, export)
    for fact in ("76.5%", "76.1%", "98.76%", "0.777", "0.666", "1,234,567", "112 pixels", "77 faces", "seed 3",
                 "301 validation", "0.4321", "**percentile 99**", "block/7", "12.3", spec.sha256[:16],
                 "grown in a test", "to be read", "Their story.", "Nine faces.", "Not at night."):  # fmt: skip
        assert fact in card
    assert "Beside published" not in card
    assert "get their name" not in card


def test_texts_about_other_weights_are_not_printed(spec: ClassifierSpec, graph: Graph, export: Export) -> None:
    blank = export.model_copy(update={"about_weights": "", "training_data": "", "limits": "", "layers": ()})
    card = classifier_card(NAME, spec, graph, blank)
    assert "FER2013" not in card
    assert "Not stated." in card


def test_the_weakest_expressions_are_named_by_what_was_measured(
    spec: ClassifierSpec, graph: Graph, export: Export
) -> None:
    weak = evaluation(spec.sha256, measured((0.9, 0.123, 0.456, 0.9, 0.7, 0.8, 0.9)))
    good = evaluation(spec.sha256, measured(GOOD))
    on_validation = good.model_copy(update={"data": data(split="validation")})
    card = classifier_card(NAME, spec, graph, export, [on_validation, weak])
    assert "Fewer than half of the faces of disgust (12.3%) and fear (45.6%) get their name on the test faces" in card
    assert "read worst on the test faces is disgust: 60.0%" in classifier_card(NAME, spec, graph, export, [good])
    assert "on the validation faces is disgust" in classifier_card(NAME, spec, graph, export, [on_validation])


def test_every_evaluation_gets_its_tables(spec: ClassifierSpec, graph: Graph, export: Export) -> None:
    pasted = ModeResult(mode="end-to-end", model=measured(GOOD, missed=4))
    worse = (Degraded(name="dark", about="at night", accuracy=estimate(0.5), loss=estimate(0.31)),)
    full = evaluation(spec.sha256, measured(GOOD))
    full = full.model_copy(update={"modes": (*full.modes, pasted), "degradations": worse, "notes": ("Mind the gap.",)})
    other = full.model_copy(update={"data": data(split="validation", faces=30, seed=0)})
    card = classifier_card(NAME, spec, graph, export, [other, full])
    for fact in ("### 70 test faces", "### 30 of 70 (drawn with seed 0) validation faces", "#### Crops",
                 "#### End-to-end", "not found", "at night", "+31.00 (+30.00 to +33.00)", "Mind the gap.", "99.12%",
                 "-0.14 (-1.14 to +1.86) points", "81.2% (80.2% to 83.2%)", "7.2 / 9.9 ms", "Abacus"):  # fmt: skip
        assert fact in card


def test_eight_classes_stand_beside_those_of_others_on_the_test_split_alone(
    spec: ClassifierSpec, graph: Graph, export: Export
) -> None:
    with_eight = evaluation(spec.sha256, measured(GOOD, eight=0.7777))
    card = classifier_card(NAME, spec, graph, export, [with_eight])
    for fact in ("84.99%", "88.88%", "77.8%", "73 faces", "the 3 led by contempt"):
        assert fact in card
    assert "68.92%" not in card
    elsewhere = with_eight.model_copy(update={"data": data(split="validation")})
    assert "84.99%" not in classifier_card(NAME, spec, graph, export, [elsewhere])


def test_second_labels_stand_beside_emonet_as_another_model(spec: ClassifierSpec, graph: Graph, export: Export) -> None:
    second = evaluation("2" * 64, measured(GOOD), data=data(labels="second"))
    card = classifier_card(NAME, spec, graph, export, [second])
    for fact in ("68.92%", "81.2%", "not shipped"):
        assert fact in card
    assert "### 70 test faces" not in card
    assert "get their name" not in card


def test_figures_of_another_file_are_refused(spec: ClassifierSpec, graph: Graph, export: Export) -> None:
    with pytest.raises(ModelError, match="evaluate again"):
        classifier_card(NAME, spec, graph, export, [evaluation("2" * 64, measured(GOOD))])
    with pytest.raises(ModelError, match="the export"):
        classifier_card(NAME, spec, graph, export.model_copy(update={"sha256": "3" * 64}))


def test_times_on_boards_are_called_predictions(spec: ClassifierSpec, graph: Graph, export: Export) -> None:
    text = classifier_card("small", spec, graph, export)
    part = text.split("## On an Edge TPU: predicted, not measured\n")[1].split("\n## ")[0]
    work = cost(graph, graph.nodes)
    assert f"{work.macs / 1e9:.2f} G multiplications" in part
    for prediction in predict(work):
        assert f"| {prediction.board} | {prediction.milliseconds:.0f} ms |" in part


def test_a_network_that_never_saw_colour_says_so(graph: Graph, spec: ClassifierSpec, export: Export) -> None:
    for coloured, warned in ((None, False), (3, False), (0, True)):
        card = classifier_card(NAME, spec, graph, export.model_copy(update={"coloured": coloured}))
        assert ("takes colour and has never seen any: all 77 faces" in card) == warned

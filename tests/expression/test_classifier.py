from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_fer.errors import ModelError
from edge_fer.expression.classifier import Classifier, dequantize, open_classifier, quantization_table, softmax
from edge_fer.inference import TensorSpec
from edge_fer.inference.fake import FakeBackend
from edge_fer.inference.model_store import InputSpec, ModelSpec, ModelStore
from edge_fer.settings import ClassifySettings
from edge_fer.types import LABELS, AlignedFace

GREY = InputSpec(size=224, colour="grey", mean=0.508, std=0.255)


def tensor(dtype: Any, scale: float, zero_point: int, shape: tuple[int, ...] = (1, 224, 224, 3)) -> TensorSpec:
    return TensorSpec("tensor", shape, np.dtype(dtype), scale, zero_point)


@pytest.fixture
def spec() -> ModelSpec:
    return ModelStore().spec("se_resnet50", "classify")


class Recorded(FakeBackend):
    """Answers with given values and keeps what it was asked."""

    def __init__(self, answer: list[int], spec: TensorSpec, **changes: Any) -> None:
        super().__init__(spec, (changes.get("output", tensor(np.int8, 0.1, 5, (1, 7))),))
        self.answer = np.array([answer], np.int8)
        self.asked: NDArray[Any] = np.empty(0)

    def infer(self, batch: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        self.asked = batch
        return (self.answer,)


def test_a_scale_that_covers_all_greys_makes_the_table_a_shift() -> None:
    """real = (pixel / 255 - mean) / std: one quantization step a grey value, wherever zero lies."""
    table = quantization_table(GREY, tensor(np.int8, 1 / 255 / 0.255, 2))
    assert table.dtype == np.int8
    assert (np.diff(table.astype(int)) == 1).sum() >= 254
    assert abs(int(table[128])) <= 1


@given(scale=st.floats(0.005, 0.1), zero_point=st.integers(-128, 127))
def test_the_table_quantizes_to_the_nearest_level_or_saturates(scale: float, zero_point: int) -> None:
    table = quantization_table(GREY, tensor(np.int8, scale, zero_point)).astype(int)
    real = (np.arange(256) / 255 - GREY.mean) / GREY.std
    inside = (table > -128) & (table < 127)
    assert np.abs((table - zero_point) * scale - real)[inside].max(initial=0) <= scale / 2 + 1e-9
    assert (np.diff(table) >= 0).all()


def test_a_float_network_takes_the_standardised_value() -> None:
    table = quantization_table(GREY, tensor(np.float32, 0, 0))
    np.testing.assert_allclose(table, (np.arange(256) / 255 - 0.508) / 0.255, rtol=1e-6)
    values = np.array([1.5, -2.0], np.float32)
    np.testing.assert_array_equal(dequantize(values, tensor(np.float32, 0, 0)), values)


@given(st.lists(st.floats(-50, 50), min_size=7, max_size=7))
def test_probabilities_sum_to_one_and_keep_the_order(logits: list[float]) -> None:
    probabilities = softmax(np.array(logits))
    assert probabilities.sum() == pytest.approx(1)
    assert probabilities[np.argmax(logits)] == probabilities.max()


def test_the_answer_is_dequantized_tempered_and_labelled(spec: ModelSpec) -> None:
    backend = Recorded([5, 5, 5, 25, 5, 5, 5], tensor(np.int8, 1 / 255 / 0.255, 2))
    classifier = Classifier("net", spec.model_copy(update={"temperature": 2.0, "abstain_below": 0.4}), backend)
    expression = classifier.classify(AlignedFace.of_crop(np.zeros((224, 224), np.uint8)))
    assert expression.label == "happiness"
    assert expression.confidence == pytest.approx(np.e / (np.e + 6))
    assert expression.probabilities[0] == pytest.approx(1 / (np.e + 6))
    assert expression.abstain_below == 0.4


def test_one_grey_face_fills_three_channels(spec: ModelSpec) -> None:
    backend = Recorded([0] * 7, tensor(np.int8, 1 / 255 / 0.255, 2))
    face = np.arange(224 * 224, dtype=np.uint32).reshape(224, 224).astype(np.uint8)
    Classifier("net", spec, backend).classify(AlignedFace.of_crop(face))
    assert backend.asked.shape == (1, 224, 224, 3)
    assert backend.asked.dtype == np.int8
    expected = quantization_table(spec.input, backend.input)[face]
    assert all((backend.asked[0, :, :, channel] == expected).all() for channel in range(3))


@pytest.mark.parametrize(
    "change",
    [
        {"labels": LABELS[::-1]},
        {"labels": None},
        {"crop": None},
        {"input": GREY.model_copy(update={"colour": "rgb"})},
        {"input": GREY.model_copy(update={"size": 112})},
    ],
    ids=["order of labels", "no labels", "no crop", "colour", "size"],
)
def test_a_network_of_another_kind_is_refused(spec: ModelSpec, change: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="expected `net`"):
        Classifier("net", spec.model_copy(update=change), Recorded([0] * 7, tensor(np.int8, 0.015, 2)))


def test_a_network_with_eight_outputs_is_refused(spec: ModelSpec) -> None:
    backend = Recorded([0] * 8, tensor(np.int8, 0.015, 2), output=tensor(np.int8, 0.1, 0, (1, 8)))
    with pytest.raises(ModelError, match="another model's"):
        Classifier("net", spec, backend)


@pytest.mark.parametrize("device", ["cpu", "fake"])
def test_the_shipped_classifier_reads_a_face(device: Any) -> None:
    with open_classifier(ClassifySettings(backend=device), ModelStore()) as classifier:
        crop = np.random.default_rng(3).integers(0, 256, (classifier.size, classifier.size), dtype=np.uint8)
        face = AlignedFace.of_crop(crop)
        expression = classifier.classify(face)
        assert classifier.backend == device
        assert expression == classifier.classify(face)
    assert expression.label in LABELS
    assert sum(expression.probabilities) == pytest.approx(1)

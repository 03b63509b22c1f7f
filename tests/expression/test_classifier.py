from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_fer.errors import BackendError, ModelError
from edge_fer.expression.classifier import Classifier, open_classifier
from edge_fer.expression.outputs import LabelOutput, find_outputs
from edge_fer.inference import TensorSpec
from edge_fer.inference.fake import FakeBackend
from edge_fer.inference.label_probabilities import softmax
from edge_fer.inference.manifest import ClassifierSpec
from edge_fer.inference.model_store import ModelStore
from edge_fer.inference.picture_spec import InputSpec
from edge_fer.inference.preprocessor import quantization_table
from edge_fer.inference.quantization import dequantize
from edge_fer.settings import ClassifySettings
from edge_fer.types import LABELS, AlignedFace

GREY = InputSpec(size=224, colour="grey", mean=0.508, std=0.255)


def tensor(dtype: Any, scale: float, zero_point: int, shape: tuple[int, ...] = (1, 224, 224, 3)) -> TensorSpec:
    return TensorSpec("tensor", shape, np.dtype(dtype), scale, zero_point)


@pytest.fixture
def spec() -> ClassifierSpec:
    return ModelStore().spec("se_resnet50", "classify").model_copy(update={"input": GREY})


class Recorded(FakeBackend):
    """Answers with given values and keeps what it was asked."""

    def __init__(self, answer: list[int], spec: TensorSpec, **changes: Any) -> None:
        super().__init__((spec,), (changes.get("output", tensor(np.int8, 0.1, 5, (1, 7))),))
        self.answer = np.array([answer], np.int8)
        self.asked: NDArray[Any] = np.empty(0)

    def infer(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        (self.asked,) = inputs
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


def test_the_answer_is_dequantized_tempered_and_labelled(spec: ClassifierSpec) -> None:
    backend = Recorded([5, 5, 5, 25, 5, 5, 5], tensor(np.int8, 1 / 255 / 0.255, 2))
    classifier = Classifier("net", spec.model_copy(update={"temperature": 2.0, "abstain_below": 0.4}), backend)
    expression = classifier.classify(AlignedFace.of_crop(np.zeros((224, 224), np.uint8)))
    assert expression.label == "happiness"
    assert expression.confidence == pytest.approx(np.e / (np.e + 6))
    assert expression.probabilities[0] == pytest.approx(1 / (np.e + 6))
    assert expression.abstain_below == 0.4


@pytest.mark.parametrize(
    ("shape", "input_change"),
    [
        ((1, 224, 224, 3), {"size": 112}),
        ((1, 224, 224, 4), {}),
        ((1, 3, 3, 224), {}),
        ((224, 224, 3), {}),
        ((1, 224, 224, 1), {"colour": "rgb"}),
    ],
    ids=["size", "channels", "layout", "no batch", "colour"],
)
def test_an_input_of_another_kind_is_refused(
    spec: ClassifierSpec, shape: tuple[int, ...], input_change: dict[str, Any]
) -> None:
    changed = spec.model_copy(update={"input": spec.input.model_copy(update=input_change)})
    with pytest.raises(ModelError, match=r"expected `net` to take (grey|rgb) pictures, .*, found \(.*; correct"):
        Classifier("net", changed, Recorded([0] * 7, tensor(np.int8, 0.015, 2, shape)))


def test_a_network_with_eight_outputs_is_refused(spec: ClassifierSpec) -> None:
    backend = Recorded([0] * 8, tensor(np.int8, 0.015, 2), output=tensor(np.int8, 0.1, 0, (1, 8)))
    with pytest.raises(ModelError, match=r"expected `net` to give 7 labels, found 8 \(`tensor`\); correct `labels`"):
        Classifier("net", spec, backend)


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_grey_face_fills_every_channel_of_either_layout(spec: ClassifierSpec, layout: str, channels: int) -> None:
    shape = (1, 224, 224, channels) if layout == "nhwc" else (1, channels, 224, 224)
    backend = Recorded([0] * 7, tensor(np.int8, 1 / 255 / 0.255, 2, shape))
    face = np.arange(224 * 224, dtype=np.uint32).reshape(224, 224).astype(np.uint8)
    Classifier("net", spec, backend).classify(AlignedFace.of_crop(face))
    assert backend.asked.shape == shape
    expected = quantization_table(spec.input, backend.inputs[0])[face]
    assert (np.moveaxis(backend.asked[0], 0 if layout == "nchw" else -1, 0) == expected).all()


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
@pytest.mark.parametrize("colour", ["rgb", "bgr"])
def test_colours_are_standardised_a_channel_and_come_in_their_order(
    spec: ClassifierSpec, colour: Any, layout: str
) -> None:
    means, stds = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    picture = InputSpec(size=4, colour=colour, mean=means, std=stds)
    shape = (1, 4, 4, 3) if layout == "nhwc" else (1, 3, 4, 4)
    backend = Recorded([0] * 7, tensor(np.float32, 0, 0, shape))
    face = np.random.default_rng(1).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    Classifier("net", spec.model_copy(update={"input": picture}), backend).classify(AlignedFace.of_crop(face))
    pixels = face[:, :, ::-1] if colour == "rgb" else face
    expected = (pixels / 255 - means) / stds
    found = backend.asked[0] if layout == "nhwc" else backend.asked[0].transpose(1, 2, 0)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert backend.asked.flags.c_contiguous


def test_grey_may_have_a_mean_for_each_of_three_equal_channels(spec: ClassifierSpec) -> None:
    means = (0.485, 0.456, 0.406)
    picture = InputSpec(size=4, colour="grey", mean=means, std=0.25)
    face = np.random.default_rng(1).integers(0, 256, (4, 4), dtype=np.uint8)
    changed = spec.model_copy(update={"input": picture})
    backend = Recorded([0] * 7, tensor(np.float32, 0, 0, (1, 3, 4, 4)))
    classifier = Classifier("net", changed, backend)
    classifier.classify(AlignedFace.of_crop(face))
    assert not classifier.colour
    for channel, mean in enumerate(means):
        np.testing.assert_allclose(backend.asked[0, channel], (face / 255 - mean) / 0.25, rtol=1e-5)
    with pytest.raises(ModelError, match=r"with 3 channels, found \(1, 1, 4, 4\)"):
        Classifier("net", changed, Recorded([0] * 7, tensor(np.float32, 0, 0, (1, 1, 4, 4))))


def test_whole_numbers_without_a_scale_take_the_pixels_themselves(spec: ClassifierSpec) -> None:
    table = quantization_table(InputSpec(size=4, colour="grey", mean=0, std=1 / 255), tensor(np.uint8, 0, 0))
    assert (table == np.arange(256)).all()
    assert table.dtype == np.uint8


def spec_with(spec: ClassifierSpec, **changes: Any) -> ClassifierSpec:
    return ClassifierSpec.model_validate({**spec.model_dump(), **changes})


def read(spec: ClassifierSpec, values: list[float], *others: TensorSpec) -> tuple[float, ...]:
    label_output = LabelOutput("net", spec, [*others, tensor(np.float32, 0, 0, (1, len(values)))])
    answers = [np.zeros(other.shape, other.dtype) for other in others]
    face = np.zeros((4, 4), np.uint8)
    return label_output.probabilities(label_output.values([*answers, np.array([values], np.float32)], face))


EIGHT = ("neutral", "happy", "surprise", "sadness", "anger", "disgust", "fear", "contempt")


@pytest.mark.parametrize("output", ["logits", "probabilities"])
def test_labels_of_another_order_are_dropped_renamed_and_renormalised(spec: ClassifierSpec, output: str) -> None:
    shares = np.array([0.05, 0.3, 0.05, 0.05, 0.1, 0.1, 0.1, 0.25])
    eight = spec_with(spec, labels=EIGHT, label_map={"happy": "happiness", "contempt": None}, output=output,
                      temperature=1.0)  # fmt: skip
    values = shares if output == "probabilities" else np.log(shares) + 3
    found = dict(zip(LABELS, read(eight, values.tolist()), strict=True))
    expected = {"anger": 0.1, "disgust": 0.1, "fear": 0.1, "happiness": 0.3, "sadness": 0.05, "surprise": 0.05,
                "neutral": 0.05}  # fmt: skip
    assert found == pytest.approx({label: share / 0.75 for label, share in expected.items()}, rel=1e-5)


def test_labels_may_be_added_up(spec: ClassifierSpec) -> None:
    eight = spec_with(spec, labels=EIGHT, label_map={"happy": "happiness", "contempt": "disgust"}, temperature=1.0)
    found = dict(zip(LABELS, read(eight, [0.0] * 8), strict=True))
    assert found["disgust"] == pytest.approx(2 / 8)
    assert found["anger"] == pytest.approx(1 / 8)


def test_probabilities_of_nothing_are_a_guess_and_no_error(spec: ClassifierSpec) -> None:
    eight = spec_with(spec, labels=EIGHT, label_map={"happy": "happiness", "contempt": None}, output="probabilities")
    assert read(eight, [0.0] * 7 + [1.0]) == pytest.approx([1 / 7] * 7)


@pytest.mark.parametrize(
    ("output", "values", "message"),
    [
        ("logits", [float("nan")] + [0.0] * 6, r"expected numbers from `net`, found \[nan.*; the file is broken"),
        ("logits", [float("inf")] + [0.0] * 6, "expected numbers from `net`, found"),
        ("probabilities", [3.0, -2.0, 0, 0, 0, 0, 0], "expected probabilities from `net`, .*state `output: logits`"),
        ("probabilities", [0.5] * 7, "expected probabilities from `net`"),
    ],
)
def test_what_cannot_be_read_is_one_clear_line(
    spec: ClassifierSpec, output: str, values: list[float], message: str
) -> None:
    with pytest.raises(BackendError, match=message) as caught:
        read(spec_with(spec, output=output), values)
    assert "\n" not in str(caught.value)


FEATURES = tensor(np.float32, 0, 0, (1, 16))
SEVEN = TensorSpec("affect", (1, 7), np.dtype(np.float32))


def test_further_outputs_are_found_by_width_or_name(spec: ClassifierSpec) -> None:
    wide = spec_with(spec, features={"width": 16})
    assert find_outputs("net", wide, [FEATURES, SEVEN]) == {"labels": 1, "features": 0}
    assert read(wide, [0.0] * 7, FEATURES) == pytest.approx([1 / 7] * 7)
    named = spec_with(spec, features={"width": 7, "name": "affect"}, valence_arousal={"name": "tensor"})
    outputs = [tensor(np.float32, 0, 0, (1, 7)), SEVEN, tensor(np.float32, 0, 0, (1, 2))]
    assert find_outputs("net", named, outputs) == {"labels": 0, "features": 1, "valence_arousal": 2}


@pytest.mark.parametrize(
    ("change", "outputs", "message"),
    [
        ({}, [SEVEN, FEATURES], r"give 7 labels, found 7 \(`affect`\), 16 \(`tensor`\)"),
        ({"features": {"width": 17}}, [SEVEN, FEATURES], r"give 7 labels, 17 features, found"),
        ({"features": {"width": 7}}, [SEVEN, SEVEN], r"give 7 labels, 7 features, found"),
        ({"features": {"width": 16, "name": "nobody"}}, [SEVEN, FEATURES], r"give 7 labels, 16 features"),
        ({"valence_arousal": {}}, [SEVEN], r"give 7 labels, 2 valence_arousal, found 7"),
    ],
)
def test_outputs_must_be_those_of_the_manifest(
    spec: ClassifierSpec, change: dict[str, Any], outputs: list[TensorSpec], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        find_outputs("net", spec_with(spec, **change), outputs)


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

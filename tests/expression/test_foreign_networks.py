"""Networks of other projects, described by a manifest entry alone: colour, eight labels, ONNX or LiteRT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_fer.common.picture import enlarge
from edge_fer.errors import ModelError
from edge_fer.expression.classifier import open_classifier, open_network
from edge_fer.expression.open_model import open_expression_model
from edge_fer.expression.verify import verify_classifier
from edge_fer.inference.model_store import ModelStore
from edge_fer.settings import ClassifySettings
from edge_fer.types import LABELS, AlignedFace, Image
from tests.support import onnx_networks, tflite_networks
from tests.support.face_server import served_model, serving
from tests.support.model_folders import folder_with

NAME = "foreign"
SIDE = 16
EIGHT = ("anger", "contempt", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
MEANS, STDS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def entry_of(file: str = "foreign.onnx", **changes: Any) -> dict[str, Any]:
    """A manifest entry of a colour network with eight labels."""
    return {
        "task": "classify", "file": file, "quantization": "float32", "source": "a test", "licence": "none",
        "card": "foreign.md", "crop": {"eye_distance": 0.35, "eye_y": 0.4, "detail": SIDE},
        "input": {"size": SIDE, "colour": "rgb", "mean": list(MEANS), "std": list(STDS)},
        "labels": list(EIGHT), "label_map": {"contempt": None},
    } | changes  # fmt: skip


def store_of(folder: Path, content: bytes, file: str = "foreign.onnx", **changes: Any) -> ModelStore:
    return ModelStore(folder_with(folder, NAME, entry_of(file, **changes), content))


def face(channels: int = 3) -> Image:
    """A face whose channels differ."""
    pixels = np.random.default_rng(7).integers(0, 256, (SIDE, SIDE, 3)) // np.array([1, 2, 4])
    return pixels[:, :, :channels].squeeze().astype(np.uint8)


def classified(store: ModelStore, image: Image) -> dict[str, float]:
    with open_classifier(ClassifySettings(model=NAME, backend="auto"), store) as classifier:
        expression = classifier.classify(AlignedFace.of_crop(image))
        assert classifier.backend == "cpu"
        assert classifier.colour == (image.ndim == 3)
    return dict(zip(LABELS, expression.probabilities, strict=True))


def expected(logits: NDArray[np.float64]) -> dict[str, float]:
    """What logits of the eight labels mean once contempt is left out."""
    powers = {label: np.exp(logit) for label, logit in zip(EIGHT, logits, strict=True) if label != "contempt"}
    return {label: float(powers[label] / sum(powers.values())) for label in LABELS}


def linear(image: Image) -> NDArray[np.float64]:
    """The logits of `onnx_networks.classifier` for an RGB picture."""
    means = (image[:, :, ::-1] / 255 - MEANS) / STDS
    return np.asarray(means.mean(axis=(0, 1)) @ onnx_networks.label_weights(3, 8))


@pytest.mark.parametrize(
    "options",
    [{}, {"batch": "N"}, {"nhwc": True}, {"nhwc": True, "batch": "N"}, {"end": "Softmax"}, {"features": 24}],
    ids=str,
)
def test_an_onnx_network_in_colour_reads_a_face_as_its_own_arithmetic_says(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    output = "probabilities" if options.get("end") == "Softmax" else "logits"
    further = {"features": {"width": 24}} if options.get("features") else {}
    store = store_of(tmp_path, onnx_networks.classifier(8, side=SIDE, **options), output=output, **further)
    verify_classifier(store, NAME)
    assert classified(store, face()) == pytest.approx(expected(linear(face())), abs=1e-5)


def test_the_order_of_the_channels_is_that_of_the_manifest(tmp_path: Path) -> None:
    picture = {"size": SIDE, "colour": "bgr", "mean": list(MEANS[::-1]), "std": list(STDS[::-1])}
    content = onnx_networks.classifier(8, side=SIDE)
    swapped = classified(store_of(tmp_path / "bgr", content, input=picture), face()[:, :, ::-1])
    assert swapped != pytest.approx(classified(store_of(tmp_path / "rgb", content), face()), abs=1e-3)
    picture["mean"], picture["std"] = list(MEANS), list(STDS)
    flipped = classified(store_of(tmp_path / "flipped", content, input=picture), face()[:, :, ::-1])
    assert flipped == pytest.approx(expected(linear(face())), abs=1e-5)


def test_a_grey_network_of_one_channel_takes_raw_pixels(tmp_path: Path) -> None:
    content = onnx_networks.classifier(8, side=SIDE, channels=1)
    picture = {"size": SIDE, "colour": "grey", "mean": 0, "std": 1}
    store = store_of(tmp_path, content, input=picture)
    verify_classifier(store, NAME)
    logits = face(1).mean() / 255 * onnx_networks.label_weights(1, 8)[0]
    assert classified(store, face(1)) == pytest.approx(expected(logits), abs=1e-5)


def test_a_quantized_onnx_network_runs(tmp_path: Path) -> None:
    content = onnx_networks.quantized(8, side=SIDE)
    store = store_of(tmp_path, content, quantization="int8")
    verify_classifier(store, NAME)
    assert classified(store, face()) == pytest.approx(expected(linear(face())), abs=0.02)


def test_an_int8_tflite_network_with_a_softmax_inside_runs(tmp_path: Path) -> None:
    content = tflite_networks.classifier(8, side=SIDE)
    picture = {"size": SIDE, "colour": "rgb", "mean": 0.5, "std": 0.2}
    store = store_of(
        tmp_path, content, "foreign.tflite", input=picture, output="probabilities", quantization="int8",
        label_map={"contempt": "disgust"},
    )  # fmt: skip
    verify_classifier(store, NAME)
    red = face()[SIDE // 2, :8, 2]
    logits = np.rint((red / 255 - 0.5) / 0.2 / tflite_networks.INPUT_STEP) * tflite_networks.LOGIT_STEP
    powers = np.exp(logits) / np.exp(logits).sum()
    found = classified(store, face())
    for label, share in zip(EIGHT, powers, strict=True):
        if label not in ("contempt", "disgust"):
            assert found[label] == pytest.approx(share, abs=0.02)
    assert found["disgust"] == pytest.approx(powers[1] + powers[2], abs=0.02)


@pytest.mark.parametrize(
    ("change", "content", "message"),
    [
        ({}, {"labels": 7}, r"expected `foreign` to give 8 labels, found 7 \(`scores`\); correct `labels`"),
        ({}, {"channels": 4}, r"take rgb pictures, .*with 3 channels, found \(1, 4, 16, 16\); correct `input`"),
        ({}, {"channels": 1}, r"with 3 channels, found \(1, 1, 16, 16\)"),
        ({}, {"side": 32}, r"found \(1, 3, 32, 32\); correct `input`"),
        ({}, {"end": "Log"}, r"expected numbers from `foreign`, found \[.*nan.*\]; the file is broken, or `mean`"),
        ({}, {"end": "Softmax"}, r"expected logits from `foreign`, found numbers that sum to 1: .*`output: probab"),
        ({"output": "probabilities"}, {}, r"expected probabilities from `foreign`, found .*; state `output: logits`"),
        ({"features": {"width": 4}}, {"features": 24}, r"8 labels, 4 features, found 8 \(`scores`\), 24 \(`features`"),
    ],
)
def test_each_wrong_entry_has_one_clear_line(
    tmp_path: Path, change: dict[str, Any], content: dict[str, Any], message: str
) -> None:
    network = onnx_networks.classifier(**{"labels": 8, "side": SIDE, **content})
    store = store_of(tmp_path, network, **change)
    with pytest.raises(ModelError, match=message) as caught:
        verify_classifier(store, NAME)
    assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match=message):
        open_expression_model(ClassifySettings(model=NAME, backend="cpu"), store)


def linear_of_means(weight: int, size: str = f"{SIDE},{SIDE}") -> bytes:
    """A network whose eight outputs are all the same multiple of the sum of the channels' means."""
    return onnx_networks.network(f"""
        net (float[1,3,{size}] image) => (float[1,8] scores) <float[3,8] weights = {{{", ".join([str(weight)] * 24)}}}>
        {{
            pooled = GlobalAveragePool(image)
            means = Flatten(pooled)
            scores = MatMul(means, weights)
        }}""")


def test_a_network_that_always_gives_the_same_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"expected `foreign` to read different faces differently, found \[0\. 0\."):
        verify_classifier(store_of(tmp_path / "constant", linear_of_means(0)), NAME)
    verify_classifier(store_of(tmp_path / "live", linear_of_means(1)), NAME)


def test_a_quantized_softmax_is_no_logits_either(tmp_path: Path) -> None:
    content = tflite_networks.classifier(8, side=SIDE)
    store = store_of(tmp_path, content, "foreign.tflite", quantization="int8")
    with pytest.raises(ModelError, match="expected logits from `foreign`, found numbers that sum to 1"):
        verify_classifier(store, NAME)


def without_its_weights() -> bytes:
    """An .onnx file whose weights are in a file beside it."""
    model = onnx_networks.onnx.load_from_string(onnx_networks.classifier(8, side=SIDE))
    weights = model.graph.initializer[0]
    del weights.float_data[:]
    weights.data_location = onnx_networks.onnx.TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="foreign.onnx.data")
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "; export it anew"),
        (b"this is a text", "; export it anew"),
        (tflite_networks.classifier(8, side=SIDE)[:500], "; export it anew"),
        (onnx_networks.classifier(8, side=SIDE)[:200], "; export it anew"),
        (without_its_weights(), "; export it as one file that holds its weights"),
        (linear_of_means(1, "H,W"), "; export the network with a fixed size"),
    ],
    ids=["empty", "text", "half a .tflite", "half an .onnx", ".onnx.data", "open size"],
)
def test_a_file_that_does_not_open_is_named_with_its_entry(tmp_path: Path, content: bytes, message: str) -> None:
    store = store_of(tmp_path, content)
    with pytest.raises(ModelError, match=rf"^`foreign`, {tmp_path}/foreign\.onnx: expected .*{message}") as caught:
        open_expression_model(ClassifySettings(model=NAME, backend="cpu"), store)
    assert "\n" not in str(caught.value)


def test_a_layout_of_another_kind_has_one_clear_line(tmp_path: Path) -> None:
    network = onnx_networks.network(f"""
        net (float[1,{SIDE},3,{SIDE}] image) => (float[1,8] scores) <float[3,8] weights = {{{", ".join("1" * 24)}}}>
        {{
            means = ReduceMean<axes=[1,3], keepdims=0>(image)
            scores = MatMul(means, weights)
        }}""")
    with pytest.raises(ModelError, match=r"found \(1, 16, 3, 16\); correct `input`"):
        verify_classifier(store_of(tmp_path, network), NAME)


def test_a_file_of_another_hash_has_one_clear_line(tmp_path: Path) -> None:
    store = store_of(tmp_path, onnx_networks.classifier(8, side=SIDE))
    (tmp_path / "foreign.onnx").write_bytes(onnx_networks.classifier(7, side=SIDE))
    with pytest.raises(ModelError, match=r"foreign\.onnx with sha256 .*; the file is corrupt or was replaced"):
        verify_classifier(store, NAME)


def test_another_computer_reads_faces_in_colour_with_further_outputs(tmp_path: Path) -> None:
    crop = {"eye_distance": 0.35, "eye_y": 0.4, "detail": SIDE // 2}
    content = onnx_networks.classifier(8, features=24)
    store = store_of(tmp_path, content, crop=crop, features={"width": 24})
    sampled = face()[::2, ::2]
    one = AlignedFace.of_crop(enlarge(sampled, SIDE), sampled)
    with serving(served_model(NAME, store)) as there, open_network(store, NAME) as twin:
        settings = ClassifySettings.model_validate({
            "model": NAME, "backend": f"remote:127.0.0.1:{there.server.port}",
            "remote": {"deadline_ms": 4000, "connect_s": 8},
        })  # fmt: skip
        with open_expression_model(settings, store) as model:
            assert model.classify(one) == twin.classify(one)
            assert model.origin.reason is None
            (device,) = model.devices
            assert device.inputs[0].shape == (SIDE // 2, SIDE // 2, 3)
            assert len(device.outputs) == 2

"""Attention over the frames of a track: what it gives, and the one line for a file that is another."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as numbers
from numpy.typing import NDArray

from edge_fer.errors import ModelError
from edge_fer.expression.attention import Attention, open_attention, read_attention
from edge_fer.inference.model_store import MANIFEST, ModelStore
from edge_fer.types import LABELS

WIDTH = 5
Arrays = dict[str, NDArray[np.float32]]


def arrays(width: int = WIDTH) -> Arrays:
    rng = np.random.default_rng(0)
    shapes = {
        "self.weight": (width,), "self.bias": (), "relation.weight": (2 * width,), "relation.bias": (),
        "head.weight": (len(LABELS), 2 * width), "head.bias": (len(LABELS),),
    }  # fmt: skip
    found = {name: np.asarray(rng.normal(0, 1, shape), np.float32) for name, shape in shapes.items()}
    return found | {"temperature": np.array(0.8, np.float32)}


def packed(content: Arrays) -> bytes:
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **content)
    return file.getvalue()


FRAMES = numbers(np.float32, st.tuples(st.integers(1, 16), st.just(WIDTH)), elements=st.floats(-1e3, 1e3, width=32))


@given(FRAMES)
@examples(max_examples=50)
def test_weights_and_probabilities_sum_to_one_whatever_the_frames_say(frames: NDArray[np.float32]) -> None:
    found = Attention(arrays()).attend(frames)
    assert (found.weights.shape, found.probabilities.shape) == ((len(frames),), (len(LABELS),))
    assert found.weights.sum() == pytest.approx(1, abs=1e-5)
    assert found.probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert found.weights.min() >= 0


def test_the_order_of_frames_does_not_matter_but_for_their_weights() -> None:
    frames = np.random.default_rng(1).normal(0, 1, (9, WIDTH)).astype(np.float32)
    order, attention = np.random.default_rng(2).permutation(9), Attention(arrays())
    plain, shuffled = attention.attend(frames), attention.attend(frames[order])
    np.testing.assert_allclose(shuffled.probabilities, plain.probabilities, atol=1e-6)
    np.testing.assert_allclose(shuffled.weights, plain.weights[order], atol=1e-6)
    assert np.ptp(plain.weights) > 0.01


def test_one_frame_has_all_the_weight_and_equal_frames_say_what_one_says() -> None:
    frame, attention = np.random.default_rng(3).normal(0, 1, (1, WIDTH)).astype(np.float32), Attention(arrays())
    one, many = attention.attend(frame), attention.attend(np.repeat(frame, 7, axis=0))
    np.testing.assert_array_equal(one.weights, [1])
    np.testing.assert_allclose(many.weights, np.full(7, 1 / 7), atol=1e-6)
    np.testing.assert_allclose(many.probabilities, one.probabilities, atol=1e-6)


def test_a_temperature_makes_it_less_sure() -> None:
    frames = np.random.default_rng(4).normal(0, 1, (3, WIDTH)).astype(np.float32)
    sure, unsure = (
        Attention(arrays() | {"temperature": np.array(value, np.float32)}).attend(frames) for value in (0.5, 2)
    )
    assert sure.probabilities.max() > unsure.probabilities.max()
    np.testing.assert_array_equal(sure.weights, unsure.weights)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"self.weight": np.zeros(WIDTH + 1, np.float32)}, r"`self.weight` of shape \(5,\), found \(6,\)"),
        ({"head.weight": np.zeros((7, WIDTH), np.float32)}, r"`head.weight` of shape \(7, 10\), found \(7, 5\)"),
        ({"extra": np.zeros(1, np.float32)}, r"`extra` of shape None, found \(1,\)"),
        ({"head.bias": np.zeros(7)}, r"float32 numbers in `head.bias` of a\.npz, found others"),
        ({"self.bias": np.array(np.nan, np.float32)}, r"float32 numbers in `self.bias` of a\.npz, found others"),
        ({"temperature": np.array(0, np.float32)}, r"a temperature above 0 in a\.npz, found 0"),
    ],
)
def test_a_file_with_other_arrays_is_refused_in_a_line(change: Arrays, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        read_attention(packed(arrays() | change), "a.npz", WIDTH)
    assert "\n" not in str(caught.value)


def test_an_array_that_is_missing_is_named() -> None:
    content = arrays()
    del content["relation.bias"]
    with pytest.raises(ModelError, match=r"`relation.bias` of shape \(\), found None"):
        read_attention(packed(content), "a.npz", WIDTH)


@given(st.integers(0, 2000), st.integers(0, 255))
@examples(max_examples=50)
def test_a_damaged_file_is_refused_in_a_line_or_still_whole(place: int, value: int) -> None:
    content = bytearray(packed(arrays()))
    content[place % len(content)] = value
    for damaged in (bytes(content), bytes(content[: place % len(content)])):
        try:
            read_attention(damaged, "a.npz", WIDTH)
        except ModelError as error:
            complaint = str(error)
            assert "\n" not in complaint


def test_it_is_opened_by_the_entry_that_is_of_the_classifier(tmp_path: Path) -> None:
    content = packed(arrays())
    (tmp_path / "a.attention.npz").write_bytes(content)
    about = {"source": "a test", "licence": "MIT", "card": "a.md"}
    face = {
        "task": "classify", "file": "a.tflite", "sha256": "0" * 64, "quantization": "int8", "labels": list(LABELS),
        "input": {"size": 24, "colour": "grey", "mean": 0.5, "std": 0.5}, **about,
        "crop": {"eye_distance": 0.3, "eye_y": 0.37, "detail": 64},
    }  # fmt: skip
    attention = {"task": "aggregate", "of": "a", "file": "a.attention.npz", **about}
    models = {
        "a": face | {"features": {"width": WIDTH}}, "b": face,
        "over_a": attention | {"sha256": hashlib.sha256(content).hexdigest()},
    }  # fmt: skip
    (tmp_path / MANIFEST).write_text(yaml.safe_dump({"schema": "edge-fer/models/1", "models": models}))
    opened = open_attention(ModelStore(tmp_path), "a")
    assert opened is not None
    assert opened.width == WIDTH
    assert open_attention(ModelStore(tmp_path), "b") is None
    (tmp_path / "a.attention.npz").write_bytes(content[:-1])
    with pytest.raises(ModelError, match=r"a\.attention\.npz with sha256 .*found"):
        open_attention(ModelStore(tmp_path), "a")

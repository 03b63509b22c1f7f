"""A classifier that reads hand-made features beside the picture: on the CPU, on an Edge TPU, and refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_fer.errors import BackendError, ModelError
from edge_fer.expression.classifier import open_network
from edge_fer.expression.face_features import face_features, small_face
from edge_fer.expression.failover import Failover
from edge_fer.expression.feature_branch import BranchLayers, read_layers
from edge_fer.expression.landmarks import LandmarkNetwork, open_landmarks
from edge_fer.expression.open_model import open_expression_model
from edge_fer.inference.fake import FakeBackend
from edge_fer.inference.manifest import ClassifierSpec, LandmarksSpec
from edge_fer.inference.model_store import ModelStore
from edge_fer.settings import ClassifySettings
from edge_fer.types import AlignedFace, Image
from tests.support.fake_edgetpu import FakeEdgeTpu, library
from tests.support.two_inputs import NAME, as_npz, dense_layers, two_inputs_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    return two_inputs_store(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def spec(store: ModelStore) -> ClassifierSpec:
    return store.spec(NAME, "classify")


def face(seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (56, 56), dtype=np.uint8)


def test_it_reads_the_picture_and_what_was_made_of_it(store: ModelStore) -> None:
    with open_network(store, NAME) as classifier, open_landmarks(store, "points") as landmarks:
        small = small_face(face())
        points = landmarks.find(small)
        assert points.shape == (68, 2)
        np.testing.assert_allclose(points[0], (small[20, 7:9] + 2.5) * 0.2, atol=0.11)  # this network gives pixels
        assert classifier.branch is not None
        hand_made = classifier.branch.hand_made(face())
        np.testing.assert_array_equal(hand_made, face_features(small, points))
        features = (face()[28, np.arange(8) * 7] - 129.5) * 0.1  # the file's output: pixels of the middle row
        expected = BranchLayers(dense_layers()).logits(features, hand_made)
        np.testing.assert_allclose(classifier.values(face()), expected, atol=0.1)
        expression = classifier.classify(AlignedFace.of_crop(face()))
        assert sum(expression.probabilities) == pytest.approx(1)
        assert expression.features is not None
        assert expression.features.dtype == np.float32
        np.testing.assert_allclose(expression.features, features, atol=0.06)


def test_a_face_in_colour_is_read_by_its_grey(store: ModelStore) -> None:
    with open_network(store, NAME) as classifier:
        assert classifier.branch is not None
        grey, colour = (classifier.branch.hand_made(image) for image in (face(), np.dstack([face()] * 3)))
        np.testing.assert_array_equal(grey, colour)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"landmarks": "nobody"},
            r"reads 68 landmarks beside the picture: expected a model for `landmarks` .* `nobody`",
        ),
        ({"landmarks": "lite"}, "expected a model for `landmarks`"),
        ({"sha256": "0" * 64}, "with sha256 000000000000..., found"),
        ({"file": "nothing.npz"}, "expected the model .*nothing.npz, found: No such file"),
    ],
)
def test_what_it_needs_must_be_there(tmp_path: Path, store: ModelStore, changes: dict[str, Any], message: str) -> None:
    branch = store.spec(NAME, "classify").branch
    assert branch is not None
    changed = two_inputs_store(tmp_path, branch={**branch.model_dump(), **changes})
    with pytest.raises(ModelError, match=message) as caught:
        open_network(changed, NAME)
    assert "\n" not in str(caught.value)


def test_a_branch_goes_with_features_and_without_labels(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="field `branch`: expected `features` and `output: logits` beside it"):
        two_inputs_store(tmp_path, output="probabilities")


@pytest.mark.parametrize("change", [{"picture.weight": None}, {"head.bias": np.zeros(6, np.float32)},
                                    {"dense2.weight": np.zeros((4, 15), np.float32)},
                                    {"head.bias": np.zeros(7)}])  # fmt: skip
def test_layers_that_do_not_fit_are_one_line(spec: ClassifierSpec, change: dict[str, Any]) -> None:
    arrays = {name: array for name, array in (dense_layers() | change).items() if array is not None}
    with pytest.raises(ModelError, match=r"export it anew") as caught:
        read_layers(as_npz(arrays), NAME, spec)
    assert "\n" not in str(caught.value)


WHOLE = as_npz(dense_layers())


@settings(max_examples=40, deadline=None)
@given(place=st.integers(0, len(WHOLE) - 1), value=st.integers(0, 255), cut=st.booleans())
def test_a_damaged_file_of_layers_is_read_or_refused(spec: ClassifierSpec, place: int, value: int, cut: bool) -> None:
    damaged = WHOLE[:place] if cut else WHOLE[:place] + bytes([value]) + WHOLE[place + 1 :]
    with suppress(ModelError):
        layers = read_layers(damaged, NAME, spec)
        assert layers.logits(np.zeros(8), np.zeros(2728)).shape == (7,)


def test_a_network_that_gives_no_landmarks_is_refused(store: ModelStore) -> None:
    spec: LandmarksSpec = store.spec("points", "landmarks")
    with open_landmarks(store, "points") as real:
        inputs, outputs = real._backend.inputs, real._backend.outputs
    wide = spec.model_copy(update={"input": spec.input.model_copy(update={"size": 64})})
    with pytest.raises(ModelError, match="expected `points` to take 48 pixels and give 136 coordinates, found 64"):
        LandmarkNetwork("points", wide, FakeBackend(inputs, outputs))
    with pytest.raises(ModelError, match="found 48 pixels and 136, 136"):
        LandmarkNetwork("points", spec, FakeBackend(inputs, outputs * 2))


def test_landmarks_that_are_no_numbers_are_an_error_of_the_device(store: ModelStore) -> None:
    spec = store.spec("points", "landmarks")
    with open_landmarks(store, "points") as real:
        inputs, (output,) = real._backend.inputs, real._backend.outputs
    float_output = type(output)("points", output.shape, np.dtype(np.float32))

    class Broken(FakeBackend):
        def infer(self, *inputs: Any) -> Any:
            return (np.full((1, 136), np.nan, np.float32),)

    with pytest.raises(BackendError, match="expected landmarks from `points`, found values that are no numbers"):
        LandmarkNetwork("points", spec, Broken(inputs, (float_output,))).find(np.zeros((48, 48), np.uint8))


@pytest.fixture
def tpu(tmp_path: Path) -> Iterator[FakeEdgeTpu]:
    library()
    with FakeEdgeTpu(tmp_path / "tpu").present() as present:
        yield present


@pytest.mark.slow
def test_the_trunk_runs_on_an_edge_tpu_and_the_cpu_reads_the_same_when_it_fails(
    tpu: FakeEdgeTpu, store: ModelStore
) -> None:
    chosen = ClassifySettings(
        model=NAME, backend="edgetpu", edgetpu_library=str(library()), sysfs=tpu.sysfs, dev=tpu.dev, deadline_ms=2000,
        retry_s=0.01, retry_max_s=0.02, check_every=1,
    )  # fmt: skip
    faces = [AlignedFace.of_crop(face(seed)) for seed in range(6)]
    with open_network(store, NAME) as cpu:
        expected = [cpu.classify(one).probabilities for one in faces]
    with open_expression_model(chosen, store) as model:
        assert isinstance(model, Failover)
        assert model.origin.backend == "edgetpu:usb:0"
        found = [model.classify(one) for one in faces[:3]]
        assert {one.origin.backend for one in found if one.origin} == {"edgetpu:usb:0"}
        tpu.fail_always("infer", "abort")
        found += [model.classify(one) for one in faces[3:]]
        assert found[-1].origin is not None
        assert found[-1].origin.backend == "cpu"
    np.testing.assert_allclose([one.probabilities for one in found], expected, atol=1e-6)

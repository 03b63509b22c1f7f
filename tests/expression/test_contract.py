"""The contract of `ExpressionModel`, over everything that reads expressions here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_fer.expression import ExpressionModel
from edge_fer.expression.classifier import open_network
from edge_fer.expression.open_model import open_expression_model
from edge_fer.settings import ClassifySettings
from edge_fer.types import LABELS, AlignedFace
from tests.support.fake_edgetpu import ENSEMBLE, FakeEdgeTpu, library
from tests.support.two_inputs import NAME as TWO_INPUTS
from tests.support.two_inputs import two_inputs_store

CASES = [
    ("se_resnet50", "cpu", 0),
    ("se_resnet50", "fake", 0),
    ("se_resnet50", "edgetpu", 1),
    (TWO_INPUTS, "edgetpu", 1),
    (ENSEMBLE, "cpu", 0),
    (ENSEMBLE, "edgetpu", 1),
    (ENSEMBLE, "edgetpu", 2),
    pytest.param((ENSEMBLE, "edgetpu", 4), marks=pytest.mark.slow),
]


@pytest.fixture(scope="module", params=CASES, ids=str)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExpressionModel]:
    name, backend, tpus = request.param
    if tpus:
        library()  # where it cannot be compiled, the test is skipped here and not in a child
    folder = tmp_path_factory.mktemp("models")
    store = two_inputs_store(folder)
    with FakeEdgeTpu(folder / "tpu", [f"2-{port + 1}" for port in range(tpus)]).present() as tpu:
        settings = ClassifySettings(
            model=name, backend=backend, edgetpu_library=str(library()) if tpus else "none", sysfs=tpu.sysfs,
            dev=tpu.dev, deadline_ms=4000,
        )  # fmt: skip
        with open_expression_model(settings, store) as opened:
            yield opened


def face_for(model: ExpressionModel, seed: int) -> AlignedFace:
    blank = model.blank_face
    pixels = np.random.default_rng(seed).integers(0, 256, blank.image.shape, dtype=np.uint8)
    return replace(blank, image=pixels)


def test_it_gives_calibrated_probabilities_of_the_seven(model: ExpressionModel) -> None:
    expression = model.classify(face_for(model, 1))
    assert len(expression.probabilities) == len(LABELS)
    assert sum(expression.probabilities) == pytest.approx(1)
    assert min(expression.probabilities) >= 0
    assert 0 <= expression.abstain_below < 1


def test_equal_faces_are_read_alike(model: ExpressionModel) -> None:
    first, other = (model.classify(face_for(model, seed)) for seed in (1, 2))
    assert model.classify(face_for(model, 1)) == first != other


def test_what_reads_a_face_is_what_it_says_would(model: ExpressionModel) -> None:
    assert model.classify(face_for(model, 1)).origin == model.origin
    assert model.origin.reason is None


def test_it_may_be_asked_by_as_many_threads_as_it_has_devices_for(model: ExpressionModel) -> None:
    assert 1 <= model.parallel <= max(len(model.devices), 1)


def test_it_forgets_tracks_that_it_never_saw(model: ExpressionModel) -> None:
    model.forget(frozenset({1, 2}))
    model.forget(frozenset())
    assert model.classify(face_for(model, 3)).origin == model.origin


def test_features_come_through_child_processes_as_they_are(model: ExpressionModel, tmp_path: Path) -> None:
    """What reads the features of a track must not notice which device a picture was read on."""
    name = model.origin.model
    expected = None
    if name == TWO_INPUTS:
        with open_network(two_inputs_store(tmp_path), name) as on_cpu:
            expected = on_cpu.classify(face_for(model, 1)).features
    found = model.classify(face_for(model, 1)).features
    if expected is None:
        assert found is None, "this one gives none"
    else:
        np.testing.assert_array_equal(found, expected)

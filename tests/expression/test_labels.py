"""What the whole way of a frame costs in accuracy, on validation faces that the project does not ship."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from edge_fer.expression.classifier import open_classifier
from edge_fer.faces.detectors import open_detector
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.datasets import open_dataset
from edge_fer.lab.datasets.dataset import Split
from edge_fer.lab.datasets.pasting import through_runtime
from edge_fer.lab.datasets.pictures import resized
from edge_fer.settings import ClassifySettings, DetectSettings
from edge_fer.types import LABELS, AlignedFace

FACES_PER_LABEL = 120  # of disgust and fear there are fewer


@pytest.mark.slow
@pytest.mark.shared
def test_the_way_of_a_frame_costs_at_most_two_points(shared: Path) -> None:
    """The same faces, found and aligned by the runtime, and as the network's training saw them."""
    faces = open_dataset(shared / "data" / "ferplus.npz").only(Split.VALIDATION)
    rng = np.random.default_rng(2)
    chosen = np.concatenate(
        [rng.permutation(np.flatnonzero(faces.labels == label))[:FACES_PER_LABEL] for label in range(len(LABELS))]
    )
    drawn = faces.take(chosen)
    images, labels = [drawn.images[index] for index in range(len(drawn))], drawn.labels
    store = ModelStore()
    with (
        open_detector(DetectSettings(), store) as detector,
        open_classifier(ClassifySettings(), store) as classifier,
    ):
        aligned = list(through_runtime(images, detector, classifier.crop, classifier.size))
        found = [index for index, face in enumerate(aligned) if face is not None]
        here = [classifier.classify(AlignedFace.of_crop(face)).label for face in aligned if face is not None]
        shown = resized([images[index] for index in found], classifier.size)
        as_trained = [classifier.classify(AlignedFace.of_crop(face)).label for face in shown]
    truth = [LABELS[labels[index]] for index in found]
    right_here = np.mean([label == true for label, true in zip(here, truth, strict=True)])
    right_as_trained = np.mean([label == true for label, true in zip(as_trained, truth, strict=True)])
    print(f"{len(found)} of {len(chosen)} faces found; {right_here:.3f} right, {right_as_trained:.3f} as trained")
    assert len(found) >= 500
    assert min(Counter(truth)[label] for label in LABELS) >= 20
    assert right_here >= right_as_trained - 0.02

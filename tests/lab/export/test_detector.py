"""From a network to its INT8 file, record, card and manifest entry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_fer.errors import ModelError
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.console import SilentReporter
from edge_fer.lab.datasets.dataset import Split, hard
from edge_fer.lab.datasets.detection.backgrounds import make_backgrounds
from edge_fer.lab.datasets.detection.face_boxes import usual_boxes
from edge_fer.lab.datasets.detection.pictures import DetectionSet
from edge_fer.lab.datasets.detection.scenes import Scenes
from edge_fer.lab.edgetpu.rules import check_int8
from edge_fer.lab.evaluation.detection_run import evaluate_detectors
from edge_fer.lab.export.detector_card import detector_card
from edge_fer.lab.export.detector_job import DetectorPlan, export_detector
from edge_fer.lab.export.detector_record import DetectorExport
from edge_fer.lab.files import read_record
from edge_fer.lab.weights.provenance import Provenance
from tests.lab.support.detector import SIDE, tiny_detector

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # the converter warns of itself


def test_a_detector_is_exported_measured_and_described(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (14, 48, 48), np.uint8)
    faces = hard("noise", images, np.arange(14) % 7, np.zeros(14, np.uint8), {})
    scenes = Scenes(faces, usual_boxes(14), make_backgrounds(Split.TRAINING, count=3), 20, SIDE)
    plan = DetectorPlan("tiny", Provenance(source="a test", licence="any"), calibrate_on=4, choose_on=4, measure_on=9)
    record = export_detector(tiny_detector(), DetectionSet(scenes, scenes), tmp_path, plan, SilentReporter())
    assert record == read_record(tmp_path / "tiny.export.json", DetectorExport)
    assert set(record.candidates) == {"float32", "percentile 100", "percentile 99.9", "percentile 99"}
    assert record.pictures == 5  # those that nothing was chosen on

    store = ModelStore(tmp_path)
    spec = store.spec("tiny", "detect")
    assert spec.accuracy is not None
    assert spec.accuracy.images == 5
    assert spec.anchors == tuple(tiny_detector().anchors)
    card = (tmp_path / "tiny.md").read_text()
    assert "a test" in card
    assert "Beside others" not in card

    evaluation = evaluate_detectors(store, "tiny", (), scenes, 3, SilentReporter())
    assert evaluation.detectors[0].sha256 == spec.sha256
    graph = check_int8(store.load("tiny", "detect"))
    assert "3 pictures" in detector_card("tiny", spec, graph, record, evaluation)
    with pytest.raises(ModelError, match="another file"):
        detector_card("tiny", spec, graph, record.model_copy(update={"sha256": "0" * 64}))

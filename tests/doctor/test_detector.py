"""What `edge-fer doctor` says of the detector."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_fer.doctor.detector import check_detector
from edge_fer.doctor.host import Host
from edge_fer.inference.model_store import ModelStore
from edge_fer.settings import load_settings
from tests.support.fake_edgetpu import FakeEdgeTpu, add_detector, twin_store


@pytest.mark.parametrize(
    ("sticks", "flags", "level", "words"),
    [
        (1, {"kind": "mtcnn"}, "ok", "mtcnn searches pictures on the processor"),
        (0, {}, "ok", "`yolov3_tiny` searches pictures on the processor"),
        (1, {}, "ok", "on edgetpu:usb:0, in turns with the classifier"),
        (2, {}, "ok", "`yolov3_tiny` searches pictures on edgetpu:usb:1"),
        (1, {"labels": "own"}, "ok", "`yolov3_tiny` searches pictures and reads faces on edgetpu:usb:0"),
        (0, {"backend": "edgetpu"}, "fail", "expected an Edge TPU, found none"),
        (0, {"model": "other"}, "fail", "expected a model for `detect` (there is: yolov3_tiny), found `other`"),
    ],
)
def test_it_says_where_faces_are_searched(
    tmp_path: Path, sticks: int, flags: dict[str, str], level: str, words: str
) -> None:
    twin_store(tmp_path)
    add_detector(tmp_path)
    FakeEdgeTpu(tmp_path / "box", [f"2-{port + 1}" for port in range(sticks)])
    dotted = {f"detect.{name}": value for name, value in ({"kind": "yolo"} | flags).items()}
    settings = load_settings(environment={}, flags=dotted)
    (finding,) = check_detector(Host(tmp_path / "box"), settings, ModelStore(tmp_path))
    assert (finding.level, words in finding.found) == (level, True)


def test_a_network_that_was_not_compiled_is_told(tmp_path: Path) -> None:
    twin_store(tmp_path)
    add_detector(tmp_path, compiled=False)
    FakeEdgeTpu(tmp_path / "box")
    settings = load_settings(environment={}, flags={"detect.kind": "yolo"})
    (finding,) = check_detector(Host(tmp_path / "box"), settings, ModelStore(tmp_path))
    assert finding.level == "warn"
    assert "was not compiled for edgetpu:usb:0" in finding.found

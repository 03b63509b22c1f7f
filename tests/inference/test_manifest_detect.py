"""What a manifest may say of a detector that reads expressions, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge_fer.errors import ModelError
from edge_fer.inference.manifest_detect import DetectorSpec
from edge_fer.inference.manifest_parser import parse_manifest
from edge_fer.types import LABELS

ANCHORS = [[10, 14], [23, 27], [37, 58], [81, 82], [135, 169], [344, 319]]
ENTRY: dict[str, Any] = {
    "task": "detect", "file": "net.tflite", "sha256": "0" * 64, "quantization": "int8", "source": "a test",
    "licence": "MIT", "card": "net.md", "input": {"size": 416, "colour": "rgb", "mean": 0, "std": 1},
    "labels": list(LABELS), "anchors": ANCHORS,
}  # fmt: skip


def parsed(change: dict[str, Any]) -> DetectorSpec:
    content = {"schema": "edge-fer/models/1", "models": {"net": ENTRY | change}}
    spec = parse_manifest(content, Path("manifest.yaml")).models["net"]
    assert isinstance(spec, DetectorSpec)
    return spec


def test_the_shapes_of_its_outputs_follow_from_its_input_and_labels() -> None:
    assert parsed({}).map_shapes == ((1, 26, 26, 36), (1, 13, 13, 36))
    contempt = parsed({"labels": [*LABELS, "contempt"], "label_map": {"contempt": None}})
    assert contempt.map_shapes == ((1, 26, 26, 39), (1, 13, 13, 39))
    assert contempt.targets == (*LABELS, None)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"input": ENTRY["input"] | {"size": 400}},
            "field `input`: expected a size that is a multiple of 32",
        ),
        ({"input": ENTRY["input"] | {"colour": "grey"}}, "field `input`: expected colour `rgb` or `bgr`, found `grey`"),
        ({"anchors": ANCHORS[:5]}, "field `anchors.5`: it is missing"),
        ({"anchors": ANCHORS[::-1]}, "field `anchors`: expected anchors by their area, smallest first, found [["),
        ({"anchors": [[10, 0], *ANCHORS[1:]]}, "field `anchors.0.1`: input should be greater than 0, not 0"),
        (
            {"labels": LABELS[:6]},
            "field `label_map`: expected a label of the network for each of the seven",
        ),
        ({"labels": [*LABELS, "fear"]}, "field `labels`: expected every label once, found fear more than once"),
        ({"nms_iuo": 0.5}, "field `nms_iuo`: there is no such field, did you mean `nms_iou`?"),
        ({"score": 1}, "field `score`: input should be less than 1, not 1"),
    ],
)
def test_a_wrong_field_is_one_line(change: dict[str, Any], expected: str) -> None:
    with pytest.raises(ModelError) as caught:
        parsed(change)
    assert f"in entry `net`, {expected}" in str(caught.value)
    assert "\n" not in str(caught.value)

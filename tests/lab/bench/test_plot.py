"""A benchmark's plot, drawn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_fer.bench.plot import check_plot, plot
from edge_fer.errors import OutputError
from edge_fer.schema import StageTime
from tests.support.bench_made import LIVE, MEASURED, PREDICTED, STAGES


def height_of(path: Path) -> int:
    picture = cv2.imread(str(path))
    assert picture is not None
    assert np.std(picture) > 10, "something was drawn"
    return int(picture.shape[0])


def test_each_part_has_a_panel(tmp_path: Path) -> None:
    check_plot(tmp_path / "all.png")
    heights = []
    for name, report in (
        ("all", MEASURED),
        ("without crowds", replace(MEASURED, crowds=(), growth=None)),
        ("live", replace(MEASURED, crowds=(), growth=None, comparison=None)),
        ("predicted", PREDICTED),
    ):
        plot(tmp_path / f"{name}.png", report)
        heights.append(height_of(tmp_path / f"{name}.png"))
    assert heights[0] > heights[1] > heights[2] == heights[3]


def test_a_stage_that_takes_no_time_and_one_without_p99_can_be_drawn(tmp_path: Path) -> None:
    stages = {**STAGES, "enhance": StageTime(3, 0.0, 0.0, 0.0), "track": StageTime(3, 0.1, 0.2)}
    plot(tmp_path / "odd.png", replace(MEASURED, live=replace(LIVE, stages=stages)))
    height_of(tmp_path / "odd.png")


def test_a_picture_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="choose another place"):
        plot(tmp_path, MEASURED)

"""What enhancing dark pictures is worth."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from typer.testing import CliRunner

from edge_fer.lab.cli.app import app
from edge_fer.lab.datasets.dataset import Dataset, Split, hard
from edge_fer.lab.evaluation.low_light import WAYS, compare
from edge_fer.settings import load_settings
from tests.lab.support.portraits import portrait_crop


def faces() -> Dataset:
    return hard("one", np.stack([portrait_crop()]), np.array([3]), np.array([Split.VALIDATION], np.uint8), {})


def test_the_dark_is_enhanced_and_the_light_is_left_alone() -> None:
    done: list[int] = []
    rows = compare(load_settings(environment={}), faces(), lambda now, _: done.append(now), lights=(1.0, 0.15))
    by = {(row.light, row.clahe): row for row in rows}
    assert [row.clahe for row in rows] == [*WAYS, *WAYS]
    assert [by[1.0, way].enhanced for way in WAYS] == [0, 1, 0]
    assert [by[0.15, way].enhanced for way in WAYS] == [0, 1, 1]
    assert by[1.0, "off"].found == 1
    assert (by[0.15, "auto"].found, by[0.15, "auto"].right) == (by[0.15, "on"].found, by[0.15, "on"].right)
    assert by[0.15, "auto"].found >= by[0.15, "off"].found
    assert done == [1, 2]


def test_the_command_prints_a_table_and_json(tmp_path: Path) -> None:
    folder = tmp_path / "valid" / "happy"
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / "face.png"), portrait_crop())
    arguments = ["light", "--data", str(tmp_path)]
    told = CliRunner().invoke(app, arguments)
    assert told.exit_code == 0, told.output
    assert "found and right" in told.output
    rows = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert len(rows) == 15
    assert {row["faces"] for row in rows} == {1}

"""The picture of a data set."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_fer.errors import SourceError
from edge_fer.lab.datasets.dataset import Dataset
from edge_fer.lab.training.recipe import Recipe
from edge_fer.lab.training.sheet import draw_sheet
from edge_fer.types import LABELS

pytestmark = [pytest.mark.lab, pytest.mark.filterwarnings("ignore::DeprecationWarning:matplotlib.*")]

RECIPE = Recipe.model_validate({"name": "r", "stages": [{"name": "s", "epochs": 1, "lr": 1, "size": 32}]})


def dataset(labels: list[int], value: int = 200) -> Dataset:
    count = len(labels)
    images = np.full((count, 20, 20), value, np.uint8)
    targets = np.eye(len(LABELS), dtype=np.float32)[labels]
    splits = np.zeros(count, np.uint8)
    return Dataset("set", images, np.array(labels), targets, splits, np.full(count, -1))


@pytest.mark.slow
def test_each_expression_has_a_row_of_faces(tmp_path: Path) -> None:
    heights = []
    for name, labels in (("two.png", [0, 0, 3]), ("three.png", [0, 3, 6, 6])):
        draw_sheet(tmp_path / name, dataset(labels), RECIPE)
        picture = cv2.imread(str(tmp_path / name), cv2.IMREAD_GRAYSCALE)
        assert picture is not None
        heights.append(picture.shape[0])
        below = picture[420:]  # the bars' colours stand above
        assert (below == 200).mean() > 0.5, "the grey of the faces"
    assert heights[1] - heights[0] == pytest.approx(1.1 * 120, abs=2)


def test_without_training_faces_there_is_nothing_to_draw(tmp_path: Path) -> None:
    nothing = dataset([0, 3]).take(np.array([], np.int64))
    with pytest.raises(SourceError, match="expected training faces in set to draw, found none"):
        draw_sheet(tmp_path / "sheet.png", nothing, RECIPE)

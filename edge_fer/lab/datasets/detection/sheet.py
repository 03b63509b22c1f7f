"""A picture of pictures with their boxes, to see what a detector learns from."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edge_fer.lab.datasets.detection.pictures import LabelledPictures
from edge_fer.lab.files import replacing
from edge_fer.types import LABELS

_ROWS, _COLUMNS = 4, 6
_LABELLED, _UNLABELLED = (0, 220, 0), (0, 0, 255)


def write_sheet(path: Path, pictures: LabelledPictures, side: int) -> None:
    """Draw the first pictures of a set.

    Args:
        path: a .png file.
        pictures: the set.
        side: side of each, pixels.

    Raises:
        OutputError: when the file cannot be written.
        SourceError: when a picture cannot be read.
    """
    sheet = np.zeros((_ROWS * side, _COLUMNS * side, 3), np.uint8)
    for number in range(min(_ROWS * _COLUMNS, len(pictures))):
        picture = pictures[number]
        scale = side / max(picture.image.shape[:2])
        shown = cv2.resize(picture.image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        for box, label in zip((picture.boxes * scale).round().astype(int).tolist(), picture.labels, strict=True):
            colour = _LABELLED if label >= 0 else _UNLABELLED
            cv2.rectangle(shown, box[:2], box[2:], colour, 1)
            if label >= 0:
                cv2.putText(shown, LABELS[label][:4], (box[0], box[1] + 9), cv2.FONT_HERSHEY_PLAIN, 0.7, colour)
        top, left = number // _COLUMNS * side, number % _COLUMNS * side
        rows, columns = min(shown.shape[0], side), min(shown.shape[1], side)
        sheet[top : top + rows, left : left + columns] = shown[:rows, :columns]
    with replacing(path) as file:
        file.write(cv2.imencode(".png", sheet)[1].tobytes())

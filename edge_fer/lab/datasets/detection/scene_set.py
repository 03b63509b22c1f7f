"""Scenes of a data set's faces as a set: training and validation, with nothing in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edge_fer.errors import SourceError
from edge_fer.faces.detectors import open_detector
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.datasets.dataset import Dataset, Split
from edge_fer.lab.datasets.detection.backgrounds import (
    make_backgrounds,
    own_photographs,
    packaged_photographs,
    without_faces,
)
from edge_fer.lab.datasets.detection.face_boxes import load_boxes, usual_boxes
from edge_fer.lab.datasets.detection.pictures import DetectionSet
from edge_fer.lab.datasets.detection.scenes import SIDE, ScenePlan, Scenes
from edge_fer.settings import DetectSettings
from edge_fer.types import Image

_ENDLESS = 1_000_000  # training scenes, more than any training sees
_HELD_OUT = 1_000  # validation scenes
_SEEDS = {Split.TRAINING: 0, Split.VALIDATION: 1}


@dataclass(frozen=True, slots=True)
class SceneSource:
    """What scenes are made of.

    Attributes:
        boxes: the file of `edge-fer lab face-boxes`; None: every crop has the usual box.
        photographs: a folder of photographs without faces, beside those of the packages.
        plan: what scenes show.
        side: side of a scene, pixels.
        seed: of everything that is drawn; other seeds make other scenes of the same faces.
    """

    boxes: Path | None = None
    photographs: Path | None = None
    plan: ScenePlan = field(default_factory=ScenePlan)
    side: int = SIDE
    seed: int = 0


def open_scenes(dataset: Dataset, source: SceneSource) -> DetectionSet:
    """Scenes of the training faces, and of the validation faces; test faces are not looked at.

    Args:
        dataset: labelled face crops.
        source: what else they are made of.

    Raises:
        SourceError: when a split has no faces, or a file is damaged or of other faces.
    """
    boxes = usual_boxes(len(dataset)) if source.boxes is None else load_boxes(source.boxes, dataset)
    left_out: list[str] = []
    splits: dict[Split, Scenes] = {}
    for split, own_seed in _SEEDS.items():
        places = np.flatnonzero(dataset.splits == split)
        if not len(places):
            raise SourceError(f"expected {split.name.lower()} faces in {dataset.name}, found none; check its splits")
        photographs = _photographs(source.photographs, split, left_out)
        splits[split] = Scenes(
            dataset.take(places),
            boxes[places],
            make_backgrounds(split, photographs),
            _ENDLESS if split == Split.TRAINING else _HELD_OUT,
            source.side,
            2 * source.seed + own_seed,
            source.plan,
            f"scenes of {dataset.name}'s {split.name.lower()} faces, seed {source.seed}",
        )
    return DetectionSet(splits[Split.TRAINING], splits[Split.VALIDATION], None, tuple(left_out))


def _photographs(folder: Path | None, split: Split, left_out: list[str]) -> Sequence[Image]:
    paths = packaged_photographs(split) + ([] if folder is None else own_photographs(folder, split))
    found = []
    with open_detector(DetectSettings(), ModelStore()) as detector:
        for path, picture in without_faces(paths, detector):
            if picture is None:
                left_out.append(f"expected no face in the background {path}, found one")
            else:
                found.append(picture)
    return found

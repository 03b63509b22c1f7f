"""What a detector in training is worth: decoded by the runtime, without variation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from edge_fer.faces.detectors.yolov3_tiny.decode import decode, find_best
from edge_fer.lab.datasets.detection.pictures import LabelledPicture, LabelledPictures
from edge_fer.lab.evaluation.metrics_detection import DetectionScore, Found, Truth, score_detections
from edge_fer.lab.networks.yolov3_tiny import YoloV3Tiny
from edge_fer.lab.training.detection_batches import as_input, fitted

LEAST_SCORE = 0.01
"""Objectness below which boxes are no part of the curve of precision over recall."""
NMS_IOU = 0.45

_BATCH = 32


def measure_detector(net: YoloV3Tiny, pictures: LabelledPictures, count: int, device: str = "cpu") -> DetectionScore:
    """Measure a network in the square of its input.

    Args:
        net: the network; it is put into evaluation.
        pictures: the pictures.
        count: measure on so many of them at most, always the same.
        device: `cpu` or `cuda`.

    Raises:
        SourceError: when a picture cannot be read.
    """
    truths: list[Truth] = []
    found: list[Found] = []
    net.eval()
    with torch.inference_mode():
        for batch in _batches(pictures, min(count, len(pictures)), net.resolution):
            images = as_input([picture.image for picture in batch]).to(device)
            fine, coarse = (maps.permute(0, 2, 3, 1).float().cpu().numpy() for maps in net(images))
            for number, picture in enumerate(batch):
                maps = (fine[number : number + 1], coarse[number : number + 1])
                best = find_best(decode(maps, net.anchors, net.resolution, LEAST_SCORE), NMS_IOU)
                found.append(Found(best.boxes, best.objectness, best.class_scores))
                truths.append(Truth(picture.boxes, picture.labels))
    return score_detections(truths, found)


def _batches(pictures: LabelledPictures, count: int, side: int) -> Iterator[list[LabelledPicture]]:
    order = np.sort(np.random.default_rng(0).permutation(len(pictures))[:count]).tolist()
    for first in range(0, count, _BATCH):
        yield [fitted(pictures[number], side) for number in order[first : first + _BATCH]]

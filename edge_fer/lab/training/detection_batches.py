"""Pictures with faces on their way into a detector, by number of step; see `batches`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from edge_fer.faces.detectors.yolov3_tiny.letterbox import GREY, letterbox
from edge_fer.lab.datasets.degradations import Random
from edge_fer.lab.datasets.detection.pictures import LabelledPicture, LabelledPictures
from edge_fer.lab.datasets.detection.scenes import Scenes
from edge_fer.lab.training.batches import made_ahead
from edge_fer.lab.training.detection_loss import Faces, faces_of
from edge_fer.lab.training.detection_recipe import DetectionRecipe, Variation
from edge_fer.types import Image

_LEAST_LEFT = 0.3  # part of a face that must be inside the part of a picture that is shown


@dataclass(frozen=True, slots=True)
class DetectionBatch:
    """Some pictures and their faces.

    Attributes:
        images: `(n, 3, side, side)` float32, red, green and blue of 0..1.
        faces: their faces.
    """

    images: Tensor
    faces: Faces


class DetectionBatches:
    """Training pictures, by step.

    Args:
        pictures: scenes, which never come again, or pictures of a set, lap after lap in a new order.
        recipe: how many a step has, how large they are, and how varied.
    """

    def __init__(self, pictures: LabelledPictures, recipe: DetectionRecipe) -> None:
        self._pictures, self._recipe = pictures, recipe

    def stream(self, first: int, last: int, workers: int) -> Iterator[DetectionBatch]:
        """The batches of steps `first` to `last` (not included), made ahead in `workers` threads."""
        return made_ahead(self.batch, first, last, workers)

    def batch(self, step: int) -> DetectionBatch:
        """The batch of a step."""
        recipe, rng = self._recipe, np.random.default_rng([self._recipe.seed, step])
        side = int(rng.choice(recipe.sizes)) if recipe.sizes else recipe.size
        numbers = range(step * recipe.batch, (step + 1) * recipe.batch)
        pictures = [self._varied(number, side, rng) for number in numbers]
        return DetectionBatch(as_input([picture.image for picture in pictures]), faces_of(pictures))

    def _varied(self, number: int, side: int, rng: Random) -> LabelledPicture:
        variation = self._recipe.variation
        if isinstance(self._pictures, Scenes):
            picture = self._pictures.at(number, side)
        else:
            lap, place = divmod(number, len(self._pictures))
            order = np.random.default_rng([self._recipe.seed, lap, 1]).permutation(len(self._pictures))
            picture = cut_at_random(self._pictures[int(order[place])], side, variation, rng)
        return replace(picture, image=recoloured(picture.image, variation, rng))


def as_input(images: Sequence[Image]) -> Tensor:
    """Pictures of one size, uint8, BGR, as the network takes them."""
    rgb = np.stack(images)[..., ::-1]
    return torch.from_numpy(np.ascontiguousarray(rgb)).permute(0, 3, 1, 2).float() / 255


def fitted(picture: LabelledPicture, side: int) -> LabelledPicture:
    """A picture as the runtime brings it to the network's input, and its boxes with it."""
    boxed = letterbox(picture.image, side)
    return replace(picture, image=boxed.image, boxes=boxed.to_square(picture.boxes))


def cut_at_random(picture: LabelledPicture, side: int, variation: Variation, rng: Random) -> LabelledPicture:
    """A part of a picture, or the picture with grey around, brought to a square as Darknet does it.

    Args:
        picture: the picture.
        side: side of the square, pixels.
        variation: how far its sides may differ from the picture's, and how often it is mirrored.
        rng: drawn from.
    """
    height, width = picture.image.shape[:2]
    left, right = (round(value) for value in rng.uniform(-1, 1, 2) * variation.jitter / 2 * width)
    top, bottom = (round(value) for value in rng.uniform(-1, 1, 2) * variation.jitter / 2 * height)
    above, below, before, behind = (max(0, -value) for value in (top, bottom, left, right))
    wider = cv2.copyMakeBorder(picture.image, above, below, before, behind, cv2.BORDER_CONSTANT, value=(GREY,) * 3)
    rows = slice(max(0, top), len(wider) - max(0, bottom))
    columns = slice(max(0, left), wider.shape[1] - max(0, right))
    moved = picture.boxes - np.array([left, top] * 2, np.float32)
    part = fitted(replace(picture, image=np.asarray(wider[rows, columns], np.uint8), boxes=moved), side)
    inside = np.clip(part.boxes, 0, side)
    areas, visible = ((boxes[:, 2:] - boxes[:, :2]).clip(0).prod(axis=1) for boxes in (part.boxes, inside))
    kept = visible > _LEAST_LEFT * areas
    boxes, image = inside[kept], part.image
    if rng.random() < variation.flip:
        image = np.ascontiguousarray(image[:, ::-1])
        boxes[:, [0, 2]] = side - boxes[:, [2, 0]]
    return LabelledPicture(image, boxes, picture.labels[kept], picture.targets[kept])


def recoloured(image: Image, variation: Variation, rng: Random) -> Image:
    """A picture in another light and other colours."""
    saturation, exposure = (float(most ** rng.uniform(-1, 1)) for most in (variation.saturation, variation.exposure))
    turn = int(rng.uniform(-1, 1) * variation.hue * 180)
    hue, colour, value = cv2.split(cv2.cvtColor(image, cv2.COLOR_BGR2HSV))
    turned = (hue.astype(np.int16) + turn) % 180
    changed = [
        turned.astype(np.uint8),
        cv2.convertScaleAbs(colour, alpha=saturation),
        cv2.convertScaleAbs(value, alpha=exposure),
    ]
    return np.asarray(cv2.cvtColor(cv2.merge(changed), cv2.COLOR_HSV2BGR), np.uint8)

"""Pictures varied as a camera, a detector and people vary them.

Everything is drawn from generators that are handed in, one a picture: how a picture is varied does not depend on
which others are beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from edge_fer.lab.datasets.degradations import DARK_NOISE, MOST_BLUR, Random, blur, compress, darken, shrink
from edge_fer.lab.networks.base import NetworkInput
from edge_fer.lab.training.recipe import Augmentation
from edge_fer.types import Image

_LEAST_SHRUNK = 1 / 3
_LEAST_BLUR = 0.3  # standard deviation, pixels
_QUALITIES = (15, 70)
_LEAST_LIGHT = 0.15
_ERASED = (0.1, 0.4)  # sides of the rectangle, parts of the picture's


def varied(pictures: Sequence[Image], size: int, ranges: Augmentation, rngs: Sequence[Random]) -> Tensor:
    """Pictures as training shows them: degraded, warped, in another light, and with parts erased.

    Args:
        pictures: of any shapes; see `as_tensor`.
        size: side of the result, pixels.
        ranges: how far.
        rngs: drawn from, one a picture.

    Returns:
        `(n, channels, size, size)` float32, 0..255.
    """
    degraded = [degrade(picture, ranges, rng) for picture, rng in zip(pictures, rngs, strict=True)]
    return varied_alike([as_tensor([picture])[0] for picture in degraded], size, ranges, rngs)


def varied_alike(images: Sequence[Tensor] | Tensor, size: int, ranges: Augmentation, rngs: Sequence[Random]) -> Tensor:
    """Warp, light and erase pictures: all channels of one alike, so that they may be the frames of a track.

    Args:
        images: `(channels, height, width)` float32, 0..255, each.
        size: side of the result, pixels.
        ranges: how far.
        rngs: drawn from, one a picture.

    Returns:
        `(n, channels, size, size)` float32, 0..255.
    """
    return erase(light(warp(images, size, ranges, rngs), ranges, rngs), ranges.erase, rngs)


def degrade(image: Image, ranges: Augmentation, rng: Random) -> Image:
    """A picture, grey or BGR, as a worse camera would have taken it, of the same size."""
    shrunk, blurred, jpeg, dark = rng.random(4) < (ranges.shrink, ranges.blur, ranges.jpeg, ranges.dark)
    degraded = image
    if dark:
        degraded = darken(degraded, rng.uniform(_LEAST_LIGHT, 1.0), DARK_NOISE, rng)
    if blurred:
        degraded = blur(degraded, max(_LEAST_BLUR, rng.uniform(0, MOST_BLUR) * image.shape[1]))
    if shrunk:
        degraded = shrink(degraded, rng.uniform(_LEAST_SHRUNK, 1.0))
    if jpeg:
        degraded = compress(degraded, int(rng.integers(*_QUALITIES)))
    return degraded


def warp(images: Sequence[Tensor] | Tensor, size: int, ranges: Augmentation, rngs: Sequence[Random]) -> Tensor:
    """Turn, scale, shear, shift and mirror pictures while they are brought to a size, bicubic.

    Args:
        images: `(channels, height, width)` float32, 0..255, each.
        size: side in pixels.
        ranges: how far.
        rngs: drawn from, one a picture.

    Returns:
        `(n, channels, size, size)` float32, 0..255; the edge goes on where the picture ends.
    """
    drawn = np.stack([rng.uniform(-1, 1, 6) for rng in rngs], axis=1)
    angle, zoom = np.deg2rad(drawn[0] * ranges.rotation), np.exp(-drawn[1] * ranges.scale)
    mirror = np.where((drawn[5] + 1) / 2 < ranges.flip, -1.0, 1.0)
    cos, sin, shear = np.cos(angle) * zoom, np.sin(angle) * zoom, drawn[2] * ranges.shear
    places = np.empty((len(rngs), 2, 3))
    places[:, 0] = np.stack([mirror * cos, cos * shear - sin, 2 * drawn[3] * ranges.shift], axis=1)
    places[:, 1] = np.stack([mirror * sin, sin * shear + cos, 2 * drawn[4] * ranges.shift], axis=1)
    grid = functional.affine_grid(torch.from_numpy(places).float(), [len(rngs), 1, size, size], align_corners=False)
    warped = [
        functional.grid_sample(image[None], one[None], "bicubic", "border", align_corners=False)
        for image, one in zip(images, grid, strict=True)
    ]
    return torch.cat(warped).clamp(0, 255)


def light(images: Tensor, ranges: Augmentation, rngs: Sequence[Random]) -> Tensor:
    """Vary brightness, contrast, gamma and noise, by one generator a picture.

    Args:
        images: `(n, channels, size, size)` float32, 0..255, as is what is returned.
        ranges: how far.
        rngs: drawn from, one a picture.
    """
    drawn = torch.from_numpy(np.stack([rng.uniform(-1, 1, 4) for rng in rngs], axis=1)).float()[..., None, None, None]
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    varied = (images - mean) * torch.exp(drawn[0] * ranges.contrast) + mean + drawn[1] * ranges.brightness * 255
    if ranges.gamma:
        varied = (varied.clamp(0, 255) / 255) ** torch.exp(drawn[2] * ranges.gamma) * 255
    if ranges.noise:
        noise = torch.stack([_noise(images.shape[1:], rng) for rng in rngs])
        varied = varied + drawn[3] * ranges.noise * 255 * noise
    return varied.clamp(0, 255)


def _noise(shape: torch.Size, rng: Random) -> Tensor:
    """Normally distributed numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(int(rng.integers(2**62))))


def erase(images: Tensor, share: float, rngs: Sequence[Random]) -> Tensor:
    """Put a rectangle of one grey value over some of the pictures.

    Zhong et al., "Random Erasing Data Augmentation", 2020.
    """
    erased = images.clone()
    size = images.shape[-1]
    for picture, rng in zip(erased, rngs, strict=True):
        hit, (height, width, top, left, value) = rng.random() < share, rng.random(5)
        if hit:
            rows, columns = (round((_ERASED[0] + side * (_ERASED[1] - _ERASED[0])) * size) for side in (height, width))
            y, x = int(top * (size - rows)), int(left * (size - columns))
            picture[:, y : y + rows, x : x + columns] = 255 * value
    return erased


def as_tensor(pictures: Sequence[Image]) -> Tensor:
    """Pictures of one shape as float32, 0..255.

    Args:
        pictures: `(height, width)` uint8, grey, or `(height, width, 3)` uint8, BGR, each.

    Returns:
        `(n, 1, height, width)`, grey, or `(n, 3, height, width)`, RGB.
    """
    stacked = torch.from_numpy(np.stack(pictures)).float()
    return stacked[:, None] if stacked.ndim == 3 else stacked.permute(0, 3, 1, 2).flip(1)


def averaged(images: Tensor, size: int) -> Tensor:
    """Pictures averaged down to a side in pixels, as a deployed network averages its own; as they are at that side."""
    return images if images.shape[-1] == size else functional.interpolate(images, size, mode="area")


def standardise(images: Tensor, expected: NetworkInput) -> Tensor:
    """Pictures as a network takes them.

    Args:
        images: `(n, 1, size, size)`, grey, or `(n, 3, size, size)`, RGB; float32, 0..255.
        expected: the network's input.

    Returns:
        `(n, channels, size, size)` float32; those of a grey picture differ by mean and deviation only.
    """
    mean, std = (torch.tensor(values).reshape(1, -1, 1, 1) for values in (expected.mean, expected.std))
    return (images / 255 - mean) / std

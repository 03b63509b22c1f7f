"""How the pixels of a picture become the values that a network takes, as its manifest entry says."""

from __future__ import annotations

import math
from typing import Annotated, Literal, TypeGuard

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

_CHANNELS = 3

_LARGEST = 1000.0  # of a mean or a deviation; pixels as they are have a deviation of 1/255
_SMALLEST_STD = 1e-6


def _numbers(value: object) -> float | tuple[float, ...]:
    """One number, or a list of three."""
    if _is_number(value):
        return float(value)
    if isinstance(value, (list, tuple)) and len(value) == _CHANNELS and all(map(_is_number, value)):
        return tuple(map(float, value))
    raise ValueError(f"expected a number, or a list of {_CHANNELS}, one for each channel, found {value!r}")


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and math.isfinite(value)


PerChannel = Annotated[float | tuple[float, ...], BeforeValidator(_numbers)]
"""One number for all channels, or one for each, in the order of `colour`."""


class PictureSpec(BaseModel):
    """How the pixels of a picture become the values that a network takes.

    Attributes:
        colour: `grey` (luminance, on one channel or on three equal ones), or the order of the three channels.
        mean: real input = (pixel / 255 - mean) / std.
        std: see `mean`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    colour: Literal["grey", "rgb", "bgr"]
    mean: PerChannel
    std: PerChannel

    @field_validator("mean", "std")
    @classmethod
    def _plausible(cls, value: float | tuple[float, ...], info: ValidationInfo) -> float | tuple[float, ...]:
        smallest = _SMALLEST_STD if info.field_name == "std" else -_LARGEST
        if not all(smallest <= number <= _LARGEST for number in (value if isinstance(value, tuple) else (value,))):
            raise ValueError(f"expected {smallest:g} to {_LARGEST:g}, found {value}")
        return value

    @property
    def means(self) -> tuple[float, ...]:
        """The mean of each channel; one where all channels are the same: grey with one mean and one deviation."""
        return self._for_channels(self.mean)

    @property
    def stds(self) -> tuple[float, ...]:
        """The standard deviation of each channel, as many as `means`."""
        return self._for_channels(self.std)

    def _for_channels(self, value: float | tuple[float, ...]) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        are_equal = self.colour == "grey" and not isinstance(self.mean, tuple) and not isinstance(self.std, tuple)
        return (value,) if are_equal else (value,) * _CHANNELS


class InputSpec(PictureSpec):
    """The input of a classifier.

    Attributes:
        size: side of the square picture, pixels.
    """

    size: int = Field(gt=0)


class MtcnnInput(PictureSpec):
    """The input of one of MTCNN's networks.

    Attributes:
        size: side of the square picture, pixels; None where any size is taken.
    """

    size: int | None

"""What a network takes and gives, as a child process or another computer states it: checked before it is used."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from typing_extensions import Self

from edge_fer.inference import TensorSpec
from edge_fer.process.reply import Reply

MAX_BYTES = 1 << 28
"""Inputs and outputs of a network may take so much memory together: the largest picture in four bytes a pixel."""


class TensorRecord(Reply):
    """See `TensorSpec`."""

    name: str = Field(max_length=1000)
    shape: list[Annotated[int, Field(ge=1, le=MAX_BYTES)]] = Field(max_length=8)
    dtype: Literal["int8", "uint8", "int16", "int32", "int64", "float32"]
    scale: float = Field(ge=0)
    zero_point: int = Field(ge=-(1 << 31), lt=1 << 31)

    @classmethod
    def from_spec(cls, spec: TensorSpec) -> Self:
        """The record of a tensor."""
        return cls.model_validate(
            {
                "name": spec.name,
                "shape": list(spec.shape),
                "dtype": spec.dtype.name,
                "scale": spec.scale,
                "zero_point": spec.zero_point,
            }
        )

    def to_spec(self) -> TensorSpec:
        """The tensor."""
        return TensorSpec(self.name, tuple(self.shape), np.dtype(self.dtype), self.scale, self.zero_point)


class NetworkRecord(Reply):
    """What a network takes and gives."""

    inputs: list[TensorRecord] = Field(min_length=1, max_length=16)
    outputs: list[TensorRecord] = Field(min_length=1, max_length=16)


class NetworkRecords(Reply):
    """What the networks of one device take and give, in their order."""

    networks: list[NetworkRecord] = Field(min_length=1, max_length=16)

"""What networks of the lab share."""

from __future__ import annotations

INPUT_SIZE = 224
"""Side of the picture that a classifier takes, pixels."""

GREY_MEAN, GREY_STD = 0.508, 0.255
"""A grey pixel enters SE-ResNet-50 as (pixel / 255 - mean) / std."""

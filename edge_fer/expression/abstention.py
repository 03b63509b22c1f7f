"""When a label would be a guess: the one home of the rules for a single picture, an average and a whole track."""

from __future__ import annotations

from edge_fer.settings import SmoothSettings
from edge_fer.types import Quality, Why


def poor_picture(quality: Quality, limits: SmoothSettings) -> Why | None:
    """Why a picture of a face is too poor to read, in the order of `Why`; None where it is not.

    Args:
        quality: of the picture.
        limits: what is too poor.
    """
    if limits.min_eye_distance_px is not None and quality.eye_distance < limits.min_eye_distance_px:
        return "too_small"
    if limits.max_head_angle_deg is not None and max(abs(quality.yaw), abs(quality.pitch)) > limits.max_head_angle_deg:
        return "turned_away"
    if limits.max_blur is not None and quality.blur > limits.max_blur:
        return "blurred"
    return None


def is_guess(confidence: float, abstain_below: float, limits: SmoothSettings) -> bool:
    """Whether a label is not probable enough to be shown.

    Args:
        confidence: its probability, 0..1.
        abstain_below: the model's own threshold, 0..1.
        limits: which may have another.
    """
    return confidence < (abstain_below if limits.min_confidence is None else limits.min_confidence)

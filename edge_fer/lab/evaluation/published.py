"""Accuracies that others published for the same data sets, on their own selections of the test faces."""

from __future__ import annotations

from typing import NamedTuple


class Published(NamedTuple):
    """One published network.

    Attributes:
        name: network and source.
        accuracy: on test faces, 0..1.
    """

    name: str
    accuracy: float


FERPLUS = (
    Published("VGG13 (Barsoum et al., 2016)", 0.8499),
    Published("SENet-50, pretrained on faces (Albanie et al., 2018)", 0.8888),
)
FERPLUS_TASK = "eight classes, without the faces on which no expression has more than half of the votes"

EMONET_RESNET50 = Published("ResNet-50 of EmoNet (Kumari)", 0.6892)

FER2013 = (
    Published("Inception-ResNet v2 of EmoNet (Kumari)", 0.6275),
    Published("Inception-ResNet v2 with features of EmoNet (Kumari)", 0.6455),
    EMONET_RESNET50,
    Published("ResNet-50 with features of EmoNet (Kumari)", 0.7097),
    Published("ensemble of these four, EmoNet (Kumari)", 0.7339),
    Published("Deep-Emotion (Minaee et al., 2021)", 0.7002),
)
FER2013_TASK = "all 3,589 test faces; ours are those that count under FER+'s convention"

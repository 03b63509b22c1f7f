"""ResNet-50 and hand-made features: EmoNet's fourth network (Kumari)."""

from __future__ import annotations

from edge_fer.lab.networks.resnet50 import ResNet50
from edge_fer.lab.networks.two_inputs import TwoInputs


class ResNet50Features(TwoInputs):
    """ResNet-50 whose features are joined with hand-made ones of the face; see `TwoInputs`."""

    PURPOSE = "EmoNet's ResNet-50 that reads landmarks and gradients of the face, too"
    PUBLICATION = "ResNet-50 with landmarks and HOG (Kumari, EmoNet)"
    INPUT = ResNet50.INPUT
    TRUNK = ResNet50
    CAM_LAYERS = tuple(f"trunk.{layer}" for layer in ResNet50.CAM_LAYERS)

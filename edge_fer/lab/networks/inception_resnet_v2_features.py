"""Inception-ResNet v2 and hand-made features: EmoNet's third network (Kumari)."""

from __future__ import annotations

from edge_fer.lab.networks.inception_resnet_v2 import InceptionResNetV2
from edge_fer.lab.networks.two_inputs import TwoInputs


class InceptionResNetV2Features(TwoInputs):
    """Inception-ResNet v2 whose features are joined with hand-made ones of the face; see `TwoInputs`."""

    PURPOSE = "EmoNet's Inception-ResNet v2 that reads landmarks and gradients of the face, too"
    PUBLICATION = "Inception-ResNet v2 with landmarks and HOG (Kumari, EmoNet)"
    INPUT = InceptionResNetV2.INPUT
    TRUNK = InceptionResNetV2
    CAM_LAYERS = tuple(f"trunk.{layer}" for layer in InceptionResNetV2.CAM_LAYERS)

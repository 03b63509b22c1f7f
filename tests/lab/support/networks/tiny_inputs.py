"""A network with two inputs whose trunk trains in a second."""

from __future__ import annotations

from edge_fer.lab.networks.two_inputs import TwoInputs
from tests.lab.support.networks.tiny_net import TinyNet


class TinyInputs(TwoInputs):
    """`TinyNet`, joined with hand-made features."""

    PURPOSE = "tests"
    PUBLICATION = "A small network of the tests with two inputs"
    INPUT = TinyNet.INPUT
    TRUNK = TinyNet
    CAM_LAYERS = ("trunk.stem",)

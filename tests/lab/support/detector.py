"""The smallest detector with random weights, for tests of what runs one."""

from __future__ import annotations

import numpy as np
import torch

from edge_fer.lab.export.detector import detector_ranges, float_detector, int8_detector
from edge_fer.lab.networks.yolov3_tiny import YoloV3Tiny

SIDE = 64


def tiny_detector(seed: int = 0) -> YoloV3Tiny:
    """The narrowest network for pictures of 64 pixels."""
    torch.manual_seed(seed)
    anchors = [(4, 5), (7, 9), (12, 15), (20, 24), (30, 36), (45, 54)]
    return YoloV3Tiny(0.0625, SIDE, "relu", anchors).eval()


def tiny_detector_file(seed: int = 0) -> bytes:
    """The same as an INT8 .tflite file, 68 kB, its ranges measured on noise."""
    net = tiny_detector(seed)
    noise = np.random.default_rng(seed).integers(0, 256, (8, SIDE, SIDE, 3), np.uint8)
    content = float_detector(net)
    return int8_detector(net, content, detector_ranges(net, content, noise))

"""This lab's weights files of detectors: a network with its settings, and its anchors among them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edge_fer.errors import ConfigError, ModelError
from edge_fer.lab.arrays import NamedArrays, read_npz
from edge_fer.lab.files import replacing
from edge_fer.lab.networks.yolov3_tiny import YoloV3Tiny


def save_detector(path: Path, net: YoloV3Tiny) -> None:
    """Write what `load_detector` reads: float32 arrays named like the network's parameters.

    Args:
        path: an .npz file; replaced at once, or not at all.
        net: the network.

    Raises:
        OutputError: when the file cannot be written.
    """
    arrays: dict[str, Any] = {"network": np.array(net.name())}
    arrays |= {name: np.array(value) for name, value in net.settings().items()}
    arrays |= {name: value.detach().cpu().numpy() for name, value in _weights(net).items()}
    with replacing(path) as file:
        np.savez(file, **arrays)


def load_detector(path: Path) -> YoloV3Tiny:
    """Read a weights file of a detector.

    Raises:
        ModelError: when the file cannot be read, or holds another network's weights.
    """
    arrays = read_npz(path)
    found = str(arrays.get("network", "no network's name"))
    if found != YoloV3Tiny.name():
        raise ModelError(f"expected weights of {YoloV3Tiny.name()} in {path}, found {found}; give those of a detector")
    try:
        net = YoloV3Tiny(
            arrays["width"].item(), arrays["resolution"].item(), arrays["activation"].item(), arrays["anchors"].tolist()
        )
    except (ConfigError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: {error}; these weights are damaged, or of a newer edge-fer") from error
    named = NamedArrays(arrays, path, net.name())
    for name, parameter in _weights(net).items():
        named.fill(parameter, name)
    return net.eval()


def _weights(net: YoloV3Tiny) -> dict[str, Any]:
    return {name: value for name, value in net.state_dict().items() if not name.endswith("num_batches_tracked")}

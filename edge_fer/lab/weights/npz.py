"""This lab's own weights files: a network with its settings, a second head, and where the weights come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from edge_fer.errors import ConfigError, ModelError
from edge_fer.lab.arrays import NamedArrays, read_npz
from edge_fer.lab.files import replacing
from edge_fer.lab.networks import DEFAULT, open_network
from edge_fer.lab.networks.base import Network, new_head
from edge_fer.lab.networks.frame_attention import FrameAttentionNetwork
from edge_fer.lab.networks.two_inputs import TwoInputs
from edge_fer.lab.weights.provenance import Origin

_SECOND = "head_fer2013"
_ARRAY_NAMES = {
    "bn.weight": "bn.gamma",
    "bn.bias": "bn.beta",
    "bn.running_mean": "bn.mean",
    "bn.running_var": "bn.variance",
}


@dataclass(frozen=True, slots=True)
class Weights:
    """What a weights file holds.

    Attributes:
        net: the network, ready to run.
        second: another head on the same features; None where the file has none.
        origin: what training went on from; None where the file does not say.
    """

    net: Network
    second: nn.Linear | None = None
    origin: Origin | None = None


def load_weights(path: Path, network: str | None = None) -> Weights:
    """Read a weights file.

    Args:
        path: an .npz file of this lab: arrays named like the network's parameters, with
            `bn.{gamma,beta,mean,variance}`, `head_ferplus` and perhaps `head_fer2013`, float16 or float32; beside
            them `network` (without it, SE-ResNet-50) and the network's settings. Or a file of another project that
            `network` can read.
        network: whose weights they must be; None: any network's. A network with two inputs, or of tracks, also takes
            those of its trunk alone, and has a new top then.

    Raises:
        ConfigError: when there is no such network.
        ModelError: when the file cannot be read, or holds another network's weights.
    """
    if path.suffix != ".npz":
        return Weights(open_network(network or DEFAULT).load_foreign(path))
    arrays = read_npz(path)
    wanted = None if network is None else open_network(network)
    if wanted is not None and issubclass(wanted, TwoInputs | FrameAttentionNetwork):
        owner = wanted.TRUNK.name()
        if str(arrays.get("network")) == owner:
            trunk = _fill(wanted.TRUNK, NamedArrays(arrays, path, owner))
            return Weights(wanted.over(trunk), origin=_origin(arrays))
    kind = open_network(_network_name(arrays, path, network))
    named = NamedArrays(arrays, path, kind.name())
    net = _fill(kind, named) if "network" in arrays or kind.name() == DEFAULT else kind.load_foreign(path)
    return Weights(net, _second_head(net, named), _origin(arrays))


def save_weights(path: Path, weights: Weights) -> None:
    """Write what `load_weights` reads: float16 for matrices and kernels, float32 for vectors.

    Args:
        path: an .npz file; replaced at once, or not at all.
        weights: the network, its second head and their origin.

    Raises:
        OutputError: when the file cannot be written.
    """
    net = weights.net
    arrays: dict[str, Any] = {"network": np.array(net.name())}
    arrays |= {name: np.array(value) for name, value in net.settings().items()}
    arrays |= {_array_name(name): _compact(value) for name, value in net.state_dict().items() if _is_weight(name)}
    if weights.second is not None:
        arrays |= {f"{_SECOND}.{name}": _compact(value) for name, value in weights.second.state_dict().items()}
    if weights.origin is not None:
        arrays["origin"] = np.array(weights.origin.model_dump_json())
    with replacing(path) as file:
        np.savez(file, **arrays)


def _network_name(arrays: dict[str, NDArray[Any]], path: Path, network: str | None) -> str:
    if "network" not in arrays:
        return network or DEFAULT
    found = str(arrays["network"])
    if network is not None and found != network:
        raise ModelError(f"expected weights of {network} in {path}, found those of {found}; set start.network={found}")
    return found


def _fill(kind: type[Network], arrays: NamedArrays) -> Network:
    settings = {name: arrays.arrays[name].item() for name in kind.SETTINGS if name in arrays}
    try:
        net = kind(**settings)
    except (ConfigError, TypeError) as error:
        raise ModelError(f"{arrays.path}: {error}; these weights are damaged, or of a newer edge-fer") from error
    for name, parameter in net.state_dict().items():
        if _is_weight(name):
            arrays.fill(parameter, _array_name(name))
    return net.eval()


def _second_head(net: Network, arrays: NamedArrays) -> nn.Linear | None:
    if f"{_SECOND}.weight" not in arrays:
        return None
    head = new_head(net.head.in_features)
    for name, parameter in head.state_dict().items():
        arrays.fill(parameter, f"{_SECOND}.{name}")
    return head


def _origin(arrays: dict[str, NDArray[Any]]) -> Origin | None:
    return Origin.model_validate_json(str(arrays["origin"])) if "origin" in arrays else None


def _is_weight(name: str) -> bool:
    return not name.endswith("num_batches_tracked")


def _compact(value: Any) -> NDArray[Any]:
    array = value.detach().cpu().numpy()
    return array.astype(np.float16 if array.ndim > 1 else np.float32)


def _array_name(parameter: str) -> str:
    for ours, theirs in _ARRAY_NAMES.items():
        if parameter.endswith(ours):
            return parameter.removesuffix(ours) + theirs
    return f"head_ferplus.{parameter.removeprefix('head.')}" if parameter.startswith("head.") else parameter

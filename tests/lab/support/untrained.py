"""An untrained classifier in arrays that are named like a trained one's."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

_NAMES = {
    r"bn\.weight": "bn.gamma",
    r"bn\.bias": "bn.beta",
    "running_mean": "mean",
    "running_var": "variance",
    r"^head\.": "head_ferplus.",
}


def named_arrays(net: Any) -> dict[str, np.ndarray]:
    """The network's state; a loader that forgets an array or takes another one for it will fail."""
    state = net.state_dict()
    return {_array_name(name): value.numpy() for name, value in state.items() if "num_batches" not in name}


def _array_name(parameter: str) -> str:
    for ours, theirs in _NAMES.items():
        parameter = re.sub(ours, theirs, parameter)
    return parameter

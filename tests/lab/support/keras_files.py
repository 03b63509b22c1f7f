"""Weights files as Keras 2 wrote them, with random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np

Arrays = dict[str, dict[str, np.ndarray]]
"""Arrays by layer and name, such as `conv1/bn` and `gamma`; kernels as Keras has them."""


def random_array(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Values under which a deep network's maps neither grow nor vanish."""
    if name == "kernel":
        return rng.standard_normal(shape, np.float32) * np.float32(np.sqrt(2 / np.prod(shape[:-1])))
    low, high = {"gamma": (0.5, 1), "moving_variance": (1e-4, 2)}.get(name, (-0.2, 0.2))
    return rng.uniform(low, high, shape).astype(np.float32)


def write_h5(path: Path, arrays: Arrays, group: str = "") -> Path:
    """Keras 2's layout: a group a layer, with its arrays under `layer/name:0` in it."""
    import h5py

    with h5py.File(path, "w") as file:
        root = file.create_group(group) if group else file
        root.attrs["layer_names"] = [name.encode() for name in ("input_1", *arrays, "activation_1")]
        for layer in ("input_1", *arrays, "activation_1"):
            inner = root.require_group(layer)
            names = [f"{layer}/{name}:0" for name in arrays.get(layer, {})]
            inner.attrs["weight_names"] = [name.encode() for name in names]
            for name, array in zip(names, arrays.get(layer, {}).values(), strict=True):
                inner[name] = array
    return path

"""A folder with a small, untrained classifier that reads hand-made features beside the picture."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from edge_fer.expression.face_features import FEATURES
from edge_fer.inference.model_store import MANIFEST, ModelStore
from tests.support.fake_edgetpu import twin_store, twins
from tests.support.tflite_networks import TfliteWriter, schema

NAME, PICTURE_FEATURES = "two_inputs", 8
_ROWS, _COLUMNS = 4, 34


def dense_layers(seed: int = 0) -> dict[str, np.ndarray]:
    """Dense layers with random weights, as EmoNet's but narrower."""
    rng, arrays = np.random.default_rng(seed), {}
    for name, inputs, outputs in (("picture", PICTURE_FEATURES, 4), ("dense1", FEATURES, 16), ("dense2", 16, 4),
                                  ("head", 8, 7)):  # fmt: skip
        arrays[f"{name}.weight"] = rng.normal(0, inputs**-0.5, (outputs, inputs)).astype(np.float32)
        arrays[f"{name}.bias"] = rng.normal(0, 0.1, outputs).astype(np.float32)
    return arrays


def as_npz(arrays: dict[str, np.ndarray]) -> bytes:
    """The content of the .npz file."""
    content: Any = io.BytesIO()
    np.savez(content, **arrays)
    return bytes(content.getvalue())


def landmarks_network() -> bytes:
    """Int8 `(1, 48, 48, 1)` to int8 `(1, 136)`: what it gives are pixels of the face."""
    writer = TfliteWriter()
    source = writer.tensor("face", [1, 48, 48, 1], 4 / 255)
    picked = writer.tensor("picked", [1, _ROWS, _COLUMNS, 1], 4 / 255)
    points = writer.tensor("points", [1, _ROWS * _COLUMNS], 0.2, -128)
    corners = [[0, 20, 7, 0], [1, 20 + _ROWS, 7 + _COLUMNS, 1], [1, 1, 1, 1], [1, _ROWS * _COLUMNS]]
    constants = [writer.constant(f"constant{index}", corner) for index, corner in enumerate(corners)]
    writer.operator(schema.BuiltinOperator.STRIDED_SLICE, [source, *constants[:3]], [picked],
                    (schema.BuiltinOptions.StridedSliceOptions, schema.StridedSliceOptionsT()))  # fmt: skip
    writer.operator(schema.BuiltinOperator.RESHAPE, [picked, constants[3]], [points])
    return writer.write([source], [points])


def two_inputs_store(folder: Path, **changes: Any) -> ModelStore:
    """What `twin_store` has, `two_inputs`, which the fake Edge TPU runs, too, and its network of landmarks.

    Args:
        folder: is there, and empty.
        changes: of the entry of `two_inputs`.
    """
    twin_store(folder, ensemble=True)
    content = yaml.safe_load((folder / MANIFEST).read_text())
    cpu, tpu = twins(values=PICTURE_FEATURES)
    entry = {
        **content["models"]["se_resnet50"],
        **_saved(folder / "two_inputs.tflite", cpu),
        "edgetpu": {**_saved(folder / "two_inputs_edgetpu.tflite", tpu), "compiler": "none"},
        "features": {"width": PICTURE_FEATURES},
        "branch": {**_saved(folder / "two_inputs.npz", as_npz(dense_layers())), "landmarks": "points"},
        **changes,
    }
    content["models"][NAME] = entry
    picture = {"size": 48, "colour": "grey", "mean": 0.5, "std": 0.25}
    content["models"]["points"] = {
        "task": "landmarks", "input": picture, "quantization": "int8", "source": "tests", "licence": "none",
        "card": entry["card"], **_saved(folder / "points.tflite", landmarks_network()),
    }  # fmt: skip
    (folder / MANIFEST).write_text(yaml.safe_dump(content))
    return ModelStore(folder)


def _saved(path: Path, content: bytes) -> dict[str, str]:
    path.write_bytes(content)
    return {"file": path.name, "sha256": hashlib.sha256(content).hexdigest()}

"""A folder of artefacts with a classifier so small that it answers at once."""

from __future__ import annotations

import shutil
from pathlib import Path

from edge_fer.inference.manifest import ClassifierSpec
from edge_fer.inference.manifest_parts import CropSpec
from edge_fer.inference.model_store import ModelStore
from edge_fer.inference.picture_spec import InputSpec
from edge_fer.lab.model_folder import update_manifest, write_artefact
from edge_fer.types import LABELS

TINY = "tiny"
TINY_CROP = CropSpec(eye_distance=0.3, eye_y=0.37, detail=64)
SIZE = 64


def tiny_network(seed: int, side: int = SIZE) -> bytes:
    """One pooling and one dense layer, float32, `(1, side, side, 3)` to seven logits."""
    import torch
    from torch import nn

    from edge_fer.lab.networks.mtcnn import MtcnnNet
    from edge_fer.lab.tflite.writer import write_mtcnn

    torch.manual_seed(seed)
    head = nn.Sequential(nn.Flatten(), nn.Linear(48, len(LABELS)))
    return write_mtcnn(MtcnnNet(nn.Sequential(nn.MaxPool2d(side // 4, side // 4)), {"logits": head}, side).eval())


def tiny_models(folder: Path, temperature: float = 2.0) -> ModelStore:
    """The packaged detector and a tiny classifier."""
    packaged = ModelStore()
    detector = {name: spec for name, spec in packaged.networks.items() if spec.task != "classify"}
    folder.mkdir(parents=True, exist_ok=True)
    for spec in detector.values():
        shutil.copy(packaged.folder / spec.file, folder / spec.file)
    tiny = ClassifierSpec(
        task="classify", input=InputSpec(size=SIZE, colour="grey", mean=0.5, std=0.25), quantization="float32",
        labels=LABELS, crop=TINY_CROP, temperature=temperature,
        source="drawn at random", licence="none", **write_artefact(folder, TINY, tiny_network(0)),
    )  # fmt: skip
    update_manifest(folder, {**detector, TINY: tiny})
    return ModelStore(folder)

"""What a network with two inputs has beside its file: dense layers in an .npz, and a network of landmarks."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_fer.errors import ModelError
from edge_fer.expression.feature_branch import BranchLayers, FeatureBranch
from edge_fer.expression.landmarks import open_landmarks
from edge_fer.inference.manifest_parts import BranchSpec
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.model_folder import write_file
from edge_fer.lab.networks.base import Network
from edge_fer.lab.networks.two_inputs import TwoInputs


@dataclass(frozen=True, slots=True)
class SecondInput:
    """The second input of a network, ready to be exported.

    Attributes:
        net: the network, with the head that is exported.
        landmarks: name of the network of landmarks, in the folder of the artefacts.
        branch: the layers as they are deployed, with that network.
    """

    net: TwoInputs
    landmarks: str
    branch: FeatureBranch

    def write(self, folder: Path, name: str) -> BranchSpec:
        """Write `name`.npz; gives its part of the manifest entry.

        Raises:
            OutputError: when the folder cannot be written.
        """
        content, arrays = io.BytesIO(), self.net.folded()
        np.savez(content, allow_pickle=False, **arrays)
        write_file(folder / f"{name}.npz", content.getvalue())
        digest = hashlib.sha256(content.getvalue()).hexdigest()
        return BranchSpec(file=f"{name}.npz", sha256=digest, landmarks=self.landmarks)


def second_input(net: Network, folder: Path | None) -> SecondInput | None:
    """The second input of a network; None where it has none.

    Args:
        net: the network, with the head that is exported.
        folder: the folder of the artefacts, in which a network of landmarks must be; None: there is none yet.

    Raises:
        ModelError: when no network of landmarks is there: without landmarks it would read nonsense.
    """
    if not isinstance(net, TwoInputs):
        return None
    store = None if folder is None else ModelStore(folder)
    names = [] if store is None else [name for name, spec in store.specs.items() if spec.task == "landmarks"]
    if store is None or not names:
        raise ModelError(
            f"expected a network of landmarks in the folder of the artefacts, which {net.name()} reads from, found "
            "none; make one there with `edge-fer lab lm68`"
        )
    return SecondInput(net, names[0], FeatureBranch(BranchLayers(net.folded()), open_landmarks(store, names[0])))

"""Whether a detector is what its manifest entry says."""

from __future__ import annotations

from edge_fer.errors import BackendError, ModelError
from edge_fer.faces.detectors.yolov3_tiny.failover import golden_pictures
from edge_fer.faces.detectors.yolov3_tiny.network import open_network
from edge_fer.inference.model_store import ModelStore


def verify_detector(store: ModelStore, name: str) -> None:
    """Open a detector on the CPU as a run does, have it search two test pictures, and close it.

    Args:
        store: the folder of networks.
        name: its name in the manifest.

    Raises:
        ModelError: when its file is missing, corrupt or not what its entry says.
        BackendError: when the CPU's interpreter is missing.
    """
    with open_network(store, name) as network:
        for picture in golden_pictures(network.size):
            try:
                network.maps(picture)
            except BackendError as error:
                raise ModelError(str(error)) from error

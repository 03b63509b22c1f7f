"""Which files of MTCNN's networks are loaded: float32 or INT8, as the settings say, or what is quicker here."""

from __future__ import annotations

from collections.abc import Callable

from edge_fer.faces.detectors.mtcnn.networks import OutputNet
from edge_fer.faces.detectors.mtcnn.precision import quicker
from edge_fer.faces.detectors.mtcnn.pyramid import CELL, Canvas
from edge_fer.inference.manifest import NetworkTask
from edge_fer.inference.model_store import ModelStore
from edge_fer.settings import DetectSettings

TASKS: tuple[NetworkTask, NetworkTask, NetworkTask] = ("propose", "refine", "output")
"""Of the networks, in the order of `chosen_networks`."""


def chosen_networks(
    settings: DetectSettings, store: ModelStore, choose: Callable[..., str] = quicker
) -> tuple[str, str, str]:
    """Names of P-Net, R-Net and O-Net in the manifest, in the precision that the settings ask for.

    Args:
        settings: the detector's settings.
        store: the folder of networks.
        choose: which of two files is the quicker one, where the precision is `auto`; see `precision.quicker`.

    Raises:
        ModelError: when a network is missing or corrupt.
        BackendError: when the CPU cannot run one.
    """
    canvas = Canvas(settings.size, settings.size * 9 // 16, settings.min_face, settings.factor).pixels
    proposal_shape = (1, *canvas.shape) if canvas.size else (1, CELL, CELL, 3)
    return (
        _choose_file(settings, store, "mtcnn_pnet", "propose", proposal_shape, choose),
        _choose_file(settings, store, "mtcnn_rnet", "refine", (8, 24, 24, 3), choose),
        output_network(settings, store, choose),
    )


def output_network(settings: DetectSettings, store: ModelStore, choose: Callable[..., str] = quicker) -> str:
    """The name of O-Net in the manifest; see `chosen_networks`."""
    return _choose_file(settings, store, "mtcnn_onet", "output", (1, 48, 48, 3), choose)


def open_output_net(settings: DetectSettings, store: ModelStore, threads: int, threshold: float) -> OutputNet:
    """Load O-Net alone, which other detectors and the follower use.

    Args:
        settings: the detector's settings.
        store: the folder of networks.
        threads: processor threads.
        threshold: boxes with a higher score are faces, 0..1; below 0: all are.

    Raises:
        ModelError: when it is missing, corrupt or not of this kind.
        BackendError: when the CPU cannot run it.
    """
    return OutputNet(store.load(output_network(settings, store), "output"), threads, threshold)


def _choose_file(
    settings: DetectSettings,
    store: ModelStore,
    name: str,
    task: NetworkTask,
    shape: tuple[int, ...],
    choose: Callable[..., str],
) -> str:
    """The name in the manifest of one network, in the precision that the settings ask for.

    Args:
        settings: the detector's settings.
        store: the folder of networks.
        name: the name of the float32 network; that of the INT8 one ends with `_int8`.
        task: the network's task.
        shape: the shape of the input that its speed is measured on.
        choose: which of two files is the quicker one; see `precision.quicker`.

    Raises:
        ModelError: when a file that is measured is missing or corrupt.
        BackendError: when the CPU cannot run it.
    """
    int8 = f"{name}_int8"
    if settings.precision == "int8":
        return int8
    if settings.precision == "float32" or int8 not in store.specs:
        return name
    files = {each: store.load(each, task) for each in (name, int8)}
    return choose(files, shape, threads=settings.threads)

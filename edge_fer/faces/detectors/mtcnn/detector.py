"""The cascade of MTCNN's three networks, on a smaller copy of the picture (Zhang et al. 2016)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing

from edge_fer.common.closeable import Closeable
from edge_fer.faces.boxes import clip, square
from edge_fer.faces.coordinates import scale_faces, to_faces
from edge_fer.faces.detectors.mtcnn.networks import OutputNet, ProposalNet, RefineNet, standardise
from edge_fer.faces.detectors.mtcnn.precision import quicker
from edge_fer.faces.detectors.mtcnn.pyramid import CELL, Canvas
from edge_fer.faces.resize import fit
from edge_fer.inference.manifest import NetworkTask
from edge_fer.inference.model_store import ModelStore
from edge_fer.inference.supervised import SupervisedDevice
from edge_fer.settings import DetectSettings
from edge_fer.types import Face, Image, Origin

_TASKS: tuple[NetworkTask, NetworkTask, NetworkTask] = ("propose", "refine", "output")

SCORE = 0.8
"""The least score of a new face, unless the settings name another."""

OUTPUT_SHAPE = (1, 48, 48, 3)
"""The shape of O-Net's input for one face."""


def open_detector(settings: DetectSettings, store: ModelStore, _tpu: object = None) -> MtcnnDetector:
    """Load the three networks, in the precision that the settings ask for; see `edge_fer.faces.detectors`."""
    names = chosen_networks(settings, store)
    return MtcnnDetector(settings, *(store.load(name, task) for name, task in zip(names, _TASKS, strict=True)))


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
        choose_file(settings, store, "mtcnn_pnet", "propose", proposal_shape, choose),
        choose_file(settings, store, "mtcnn_rnet", "refine", (8, 24, 24, 3), choose),
        choose_file(settings, store, "mtcnn_onet", "output", OUTPUT_SHAPE, choose),
    )


def choose_file(
    settings: DetectSettings,
    store: ModelStore,
    name: str,
    task: NetworkTask,
    shape: tuple[int, ...],
    choose: Callable[..., str] = quicker,
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


class MtcnnDetector(Closeable):
    """Finds faces in pictures of any size; quickest while the size stays the same.

    Args:
        settings: sizes, thresholds, processor threads.
        proposal: the content of P-Net's .tflite file.
        refine: the content of R-Net's .tflite file.
        output: the content of O-Net's .tflite file.

    Raises:
        ModelError: when a network's outputs are not those of its stage.
        BackendError: when the CPU cannot run one.
    """

    origin = Origin("mtcnn", "cpu")
    reason: str | None = None
    devices: tuple[SupervisedDevice, ...] = ()

    def __init__(self, settings: DetectSettings, proposal: bytes, refine: bytes, output: bytes) -> None:
        self._size = settings.size
        self._max_faces = settings.max_faces
        threads = settings.threads
        propose_above, refine_above, output_above = settings.thresholds
        final_above = max(output_above, SCORE if settings.score is None else settings.score)
        with ExitStack() as stack:
            pyramid = (settings.min_face, settings.factor)
            self._proposal = stack.enter_context(closing(ProposalNet(proposal, threads, propose_above, *pyramid)))
            self._refine = stack.enter_context(closing(RefineNet(refine, threads, refine_above)))
            self._output = stack.enter_context(closing(OutputNet(output, threads, final_above)))
            self._opened = stack.pop_all()

    def find(self, image: Image) -> tuple[Face, ...]:
        """Find the faces of one picture.

        Args:
            image: `(height, width, 3)` uint8, BGR.

        Returns:
            Faces in pixels of `image` (whole coordinates are pixel centres), best score first.

        Raises:
            BackendError: when a network fails.
        """
        small = fit(image, self._size)
        pixels = standardise(small)
        boxes = square(self._proposal.propose(pixels))
        boxes = square(self._refine.refine(pixels, boxes))
        boxes, scores, landmarks = self._output.locate(pixels, boxes)
        best = slice(self._max_faces)
        boxes = clip(boxes[best], small.shape[1], small.shape[0])
        return scale_faces(to_faces(boxes, scores[best], landmarks[best]), small, image)

    def wait_until_opened(self, cancelled: Callable[[], bool] = lambda: False) -> None:
        """It is open; see `edge_fer.faces.detectors.Detector.wait_until_opened`."""

    def close(self) -> None:
        """Free the networks."""
        self._opened.close()

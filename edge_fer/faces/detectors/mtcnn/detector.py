"""The cascade of MTCNN's three networks, on a smaller copy of the picture (Zhang et al. 2016)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing

from edge_fer.common.closeable import Closeable
from edge_fer.faces.boxes import clip, square
from edge_fer.faces.coordinates import scale_faces, to_faces
from edge_fer.faces.detectors.mtcnn.files import TASKS, chosen_networks
from edge_fer.faces.detectors.mtcnn.networks import OutputNet, ProposalNet, RefineNet, standardise
from edge_fer.faces.resize import fit
from edge_fer.inference.model_store import ModelStore
from edge_fer.inference.supervised import SupervisedDevice
from edge_fer.settings import DetectSettings
from edge_fer.types import Face, Image, Origin

SCORE = 0.8
"""The least score of a new face, unless the settings name another."""


def open_detector(settings: DetectSettings, store: ModelStore, _tpu: object = None) -> MtcnnDetector:
    """Load the three networks, in the precision that the settings ask for; see `edge_fer.faces.detectors`."""
    names = chosen_networks(settings, store)
    return MtcnnDetector(settings, *(store.load(name, task) for name, task in zip(names, TASKS, strict=True)))


def open_landmarks(settings: DetectSettings, store: ModelStore) -> None:
    """O-Net is one of the three networks; see `edge_fer.faces.detectors`."""


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

    def find(self, image: Image, *, landmarks: bool = True) -> tuple[Face, ...]:
        """Find the faces of one picture.

        Args:
            image: `(height, width, 3)` uint8, BGR.
            landmarks: whether they are needed; they come with the boxes in any case.

        Returns:
            Faces in pixels of `image` (whole coordinates are pixel centres), best score first.

        Raises:
            BackendError: when a network fails.
        """
        small = fit(image, self._size)
        pixels = standardise(small)
        boxes = square(self._proposal.propose(pixels))
        boxes = square(self._refine.refine(pixels, boxes))
        boxes, scores, points = self._output.locate(pixels, boxes)
        best = slice(self._max_faces)
        boxes = clip(boxes[best], small.shape[1], small.shape[0])
        return scale_faces(to_faces(boxes, scores[best], points[best]), small, image)

    def wait_until_opened(self, cancelled: Callable[[], bool] = lambda: False) -> None:
        """It is open; see `edge_fer.faces.detectors.Detector.wait_until_opened`."""

    def close(self) -> None:
        """Free the networks."""
        self._opened.close()

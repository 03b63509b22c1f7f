"""Faces and what they show, in one pass over the picture (Redmon and Farhadi 2018), with landmarks by MTCNN's O-Net."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Protocol

from edge_fer.common.closeable import Closeable
from edge_fer.errors import BackendError, ModelError
from edge_fer.faces.coordinates import to_faces
from edge_fer.faces.detectors import Follower
from edge_fer.faces.detectors.mtcnn.files import open_output_net, output_network
from edge_fer.faces.detectors.mtcnn.follower import MtcnnFollower
from edge_fer.faces.detectors.yolov3_tiny.decode import decode, find_best
from edge_fer.faces.detectors.yolov3_tiny.failover import FailoverNetwork, golden_check, golden_pictures
from edge_fer.faces.detectors.yolov3_tiny.letterbox import letterbox
from edge_fer.faces.detectors.yolov3_tiny.network import Maps, YoloNetwork, open_network
from edge_fer.inference.edgetpu.backend import CompiledModel
from edge_fer.inference.label_probabilities import LabelProbabilities
from edge_fer.inference.manifest_detect import DetectorSpec
from edge_fer.inference.model_store import ModelStore
from edge_fer.inference.shared_tpu import SharedTpu
from edge_fer.inference.supervised import SupervisedDevice
from edge_fer.inference.supervised_tpu import Job
from edge_fer.settings import DetectSettings
from edge_fer.types import Expression, Face, Image, Origin

_ALL = -1.0  # every box gets landmarks, whatever O-Net's score

_log = logging.getLogger(__name__)


class Searcher(Protocol):
    """What runs the network: one device, or one with the CPU behind it."""

    @property
    def origin(self) -> Origin:
        """What searches the next picture."""
        ...

    @property
    def devices(self) -> tuple[SupervisedDevice, ...]:
        """The supervised devices that it runs on."""
        ...

    def search(self, image: Image) -> tuple[Maps, Origin]:
        """The maps of a picture of the network's size, and what gave them."""
        ...

    def wait_until_opened(self, cancelled: Callable[[], bool], *, needed: bool) -> None:
        """Wait until the first attempt to open the devices is over."""
        ...

    def close(self) -> None:
        """Release the devices."""
        ...


def open_detector(settings: DetectSettings, store: ModelStore, tpu: SharedTpu | None = None) -> YoloDetector:
    """Load the network and O-Net; see `edge_fer.faces.detectors`."""
    spec = store.spec(settings.model, "detect")
    searcher = _open_searcher(settings, store, spec, tpu)
    with ExitStack() as stack:
        stack.callback(searcher.close)
        landmarks = open_landmarks(settings, store)
        stack.pop_all()
    return YoloDetector(settings, spec, searcher, landmarks)


def open_landmarks(settings: DetectSettings, store: ModelStore) -> MtcnnFollower:
    """Load O-Net so that it gives landmarks for every box; see `edge_fer.faces.detectors`."""
    return MtcnnFollower(open_output_net(settings, store, settings.threads, _ALL))


def chosen_networks(settings: DetectSettings, store: ModelStore) -> tuple[str, str]:
    """Names of the network and of O-Net in the manifest; see `edge_fer.faces.detectors`."""
    store.spec(settings.model, "detect")
    return settings.model, output_network(settings, store)


class YoloDetector(Closeable):
    """Finds faces in pictures of any size, each with what it shows.

    Args:
        settings: thresholds.
        spec: what the manifest says of the network.
        searcher: the network on its devices; closed with the detector.
        landmarks: O-Net, with a threshold that every box passes (see `open_landmarks`); closed with the detector.
    """

    def __init__(self, settings: DetectSettings, spec: DetectorSpec, searcher: Searcher, landmarks: Follower) -> None:
        self._spec, self._searcher, self._landmarks = spec, searcher, landmarks
        self._above = spec.score if settings.score is None else settings.score
        self._most, self._min_face = settings.max_faces, settings.min_face
        self._device_is_named = settings.backend.partition(":")[0] == "edgetpu"
        self._probabilities = LabelProbabilities(spec.targets, spec.temperature)
        self._last: Origin | None = None

    @property
    def origin(self) -> Origin:
        """What found the faces of the last picture; before the first, what would."""
        return self._last or self._searcher.origin

    @property
    def reason(self) -> str | None:
        """Why the device that should search the next picture does not; None when it does."""
        return self._searcher.origin.reason

    @property
    def devices(self) -> tuple[SupervisedDevice, ...]:
        """The supervised devices that it runs on; empty on the CPU."""
        return self._searcher.devices

    def wait_until_opened(self, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Wait until the first attempt to open the devices is over; see `edge_fer.faces.detectors.Detector`."""
        self._searcher.wait_until_opened(cancelled, needed=self._device_is_named)

    def find(self, image: Image, *, landmarks: bool = True) -> tuple[Face, ...]:
        """Find the faces of one picture; see `edge_fer.faces.detectors.Detector`.

        Each face has probabilities over the seven expressions: the softmax of the logits of its labels, which is what
        independent sigmoids say where exactly one label is true, with the calibration that the manifest states.
        """
        size = self._spec.input.size
        boxed = letterbox(image, size)
        maps, self._last = self._searcher.search(boxed.image)
        found = find_best(decode(maps, self._spec.anchors, size, self._above), self._spec.nms_iou)
        boxes = boxed.to_picture(found.boxes)
        large = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0) >= self._min_face
        boxes, found = boxes[large][: self._most], found[large.nonzero()[0]][: self._most]
        expressions = [
            Expression(probabilities, self._last, self._spec.abstain_below)
            for probabilities in self._probabilities.of_many(found.logits)
        ]
        faces = to_faces(boxes, found.objectness, None, expressions)
        if not landmarks:
            return faces
        measured = self._landmarks.follow(image, {place: face.box for place, face in enumerate(faces)})
        return tuple(replace(face, landmarks=measured[place].landmarks) for place, face in enumerate(faces))

    def close(self) -> None:
        """Free the networks."""
        try:
            self._searcher.close()
        finally:
            self._landmarks.close()


class OneDevice(Closeable):
    """The network on the CPU, or on the fake device; see `Searcher`.

    Args:
        network: closed with this one.
    """

    devices: tuple[SupervisedDevice, ...] = ()

    def __init__(self, network: YoloNetwork) -> None:
        self._network = network
        self.origin = network.origin

    def search(self, image: Image) -> tuple[Maps, Origin]:
        """Run the network once; see `YoloNetwork.maps`."""
        return self._network.maps(image), self.origin

    def wait_until_opened(self, cancelled: Callable[[], bool], *, needed: bool) -> None:
        """It is open."""

    def close(self) -> None:
        """Release the device."""
        self._network.close()


def _open_searcher(
    settings: DetectSettings, store: ModelStore, spec: DetectorSpec, tpu: SharedTpu | None
) -> OneDevice | FailoverNetwork:
    name = settings.model
    if tpu is None:
        device = "fake" if settings.backend == "fake" else "cpu"
        return OneDevice(open_network(store, name, device, settings.threads))
    try:
        compiled = CompiledModel(store.load_compiled(name, "detect"))
    except (BackendError, ModelError) as error:
        if settings.backend != "auto":
            raise BackendError(str(error)) from error
        _log.warning("there is an Edge TPU, but faces are searched on the CPU: %s", error)
        return OneDevice(open_network(store, name, "cpu", settings.threads, str(error)))
    with ExitStack() as stack:
        stack.enter_context(compiled)
        twin = stack.enter_context(open_network(store, name, "cpu", settings.threads))
        check = golden_check(name, spec, twin, golden_pictures(spec.input.size))
        job = Job(compiled, (twin.inputs, twin.outputs), check, "faces are searched")
        shared = stack.enter_context(tpu.join(job))
        network = YoloNetwork(name, spec, shared)
        return FailoverNetwork(network, shared, twin, tpu.check_every, spec.failover.tolerance, stack.pop_all())

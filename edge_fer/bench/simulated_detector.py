"""A detector on a simulated accelerator: it takes as long as a real one should, and finds the faces that are there.

What the network gives for each frame of the source is computed before the run, since this processor's work for it would
otherwise be counted; in the run the answer is looked up, and waited for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack

from edge_fer.common.closeable import Closeable
from edge_fer.faces.derotate import derotate
from edge_fer.faces.detectors.yolov3_tiny.detector import YoloDetector, open_landmarks
from edge_fer.faces.detectors.yolov3_tiny.letterbox import letterbox
from edge_fer.faces.detectors.yolov3_tiny.network import Maps, YoloNetwork, open_network
from edge_fer.faces.enhance import Enhancer
from edge_fer.inference.model_store import ModelStore
from edge_fer.inference.supervised import SupervisedDevice
from edge_fer.settings import Settings
from edge_fer.types import Image, Origin


def open_simulated_detector(
    settings: Settings,
    frames: Iterable[Image],
    latency_s: float,
    turn: AbstractContextManager[object],
    wait: Callable[[float], None],
) -> YoloDetector:
    """Open the detector that the settings name, of kind yolo, and compute its answers.

    Args:
        settings: the run's settings.
        frames: the frames of the source, each `(height, width, 3)` uint8, BGR.
        latency_s: of one search on the accelerator, seconds.
        turn: held during each search; the other network on the same accelerator holds it, too.
        wait: waits for a number of seconds.

    Raises:
        ModelError: when a network is missing, corrupt or not what its manifest entry says.
    """
    store, detect = ModelStore(settings.models), settings.detect
    spec = store.spec(detect.model, "detect")
    enhancer = Enhancer(settings.enhance)
    with ExitStack() as stack:
        network = stack.enter_context(open_network(store, detect.model, "cpu", detect.threads))
        searcher = SimulatedSearcher(network, latency_s, turn, wait)
        for frame in frames:
            view = derotate(enhancer.enhance(frame), detect.size, None)
            searcher.learn(letterbox(view.image, spec.input.size).image)
        landmarks = open_landmarks(detect, store)
        stack.pop_all()
    return YoloDetector(detect, spec, searcher, landmarks)


class SimulatedSearcher(Closeable):
    """Looks up what the network gives, and waits as long as the accelerator would take.

    Args:
        network: on the CPU; closed with this one.
        latency_s: of one search, seconds.
        turn: held during each search.
        wait: waits for a number of seconds.
        clock: seconds, monotonic.
    """

    devices: tuple[SupervisedDevice, ...] = ()

    def __init__(
        self,
        network: YoloNetwork,
        latency_s: float,
        turn: AbstractContextManager[object],
        wait: Callable[[float], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.origin = Origin(network.origin.model, "simulated")
        self._network, self._latency_s, self._turn, self._wait, self._clock = network, latency_s, turn, wait, clock
        self._known: dict[int, Maps] = {}

    def learn(self, image: Image) -> None:
        """Compute the answer for a picture, `(size, size, 3)` uint8, BGR."""
        self._known[hash(image.tobytes())] = self._network.maps(image)

    def search(self, image: Image) -> tuple[Maps, Origin]:
        """The maps of a picture; one that was not learned is computed, which may take longer than the accelerator."""
        with self._turn:
            due = self._clock() + self._latency_s
            key = hash(image.tobytes())
            if key not in self._known:
                self.learn(image)
            self._wait(max(0.0, due - self._clock()))
            return self._known[key], self.origin

    def wait_until_opened(self, cancelled: Callable[[], bool], *, needed: bool) -> None:
        """It is open."""

    def close(self) -> None:
        """Free the network."""
        self._network.close()

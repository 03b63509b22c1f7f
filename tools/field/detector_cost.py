"""What a frame costs from 1 to 16 faces: the detector of one pass with labels of its own, and others beside it.

    make field-detector_cost ARGS="--models my-models --faces 1,4,16"

The network of kind yolo runs on each picture that is searched; its answer is then replaced by the faces that MTCNN
finds there, so that the cost is that of these faces, however good the network is. Measured is processor time, which
other programs on the machine change little.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fer.bench.monitor import BenchMonitor
from edge_fer.bench.source import crowd, decode
from edge_fer.faces.derotate import derotate
from edge_fer.faces.detectors import Detector, open_detector
from edge_fer.faces.detectors.yolov3_tiny.detector import YoloDetector, open_landmarks
from edge_fer.faces.detectors.yolov3_tiny.letterbox import letterbox
from edge_fer.faces.detectors.yolov3_tiny.network import Maps, YoloNetwork, open_network
from edge_fer.inference.manifest_detect import ANCHORS_EACH, BOX_VALUES, DetectorSpec
from edge_fer.inference.model_store import ModelStore
from edge_fer.inference.supervised import SupervisedDevice
from edge_fer.recognizer import Recognizer
from edge_fer.settings import Settings, load_settings
from edge_fer.types import Box, Frame, Image, Origin

OWN = {"detect.kind": "yolo", "detect.labels": "own"}
WAYS: dict[str, dict[str, object]] = {
    "yolo, its own labels, every frame searched": {**OWN, "keyframe.enabled": False},
    "yolo, its own labels": {**OWN},
    "yolo, classifier": {"detect.kind": "yolo"},
    "mtcnn, classifier": {},
}
FRAMES, FPS = 30, 30.0
_NO, _YES = -12.0, 5.0  # logits of objectness


@dataclass(frozen=True)
class Cost:
    """What one way costs.

    Attributes:
        way: detector and labels.
        faces: in each frame.
        found: faces that were found in a frame, on average.
        searches: of the frames.
        frame_ms: processor time of a frame, milliseconds.
    """

    way: str
    faces: int
    found: float
    searches: int
    frame_ms: float


class Planted:
    """The network on the CPU, whose answers are replaced; see `edge_fer.faces.detectors.yolov3_tiny.detector.Searcher`.

    Args:
        network: it runs on each picture.
        spec: what the manifest says of it.
        boxes: the faces of each picture, by its bytes' hash, pixels of the network's input.
    """

    devices: tuple[SupervisedDevice, ...] = ()

    def __init__(self, network: YoloNetwork, spec: DetectorSpec, boxes: Mapping[int, Iterable[Box]]) -> None:
        self.origin: Origin = network.origin
        self._network, self._spec, self._boxes = network, spec, boxes

    def search(self, image: Image) -> tuple[Maps, Origin]:
        """Run the network, and answer with the faces that are there."""
        self._network.maps(image)
        maps = [np.full(shape, _NO, np.float32) for shape in self._spec.map_shapes]
        for box in self._boxes[hash(image.tobytes())]:
            plant(box, maps, self._spec)
        return tuple(maps), self.origin

    def wait_until_opened(self, cancelled: Callable[[], bool], *, needed: bool) -> None:
        """It is open."""

    def close(self) -> None:
        """Free the network."""
        self._network.close()


def plant(box: Box, maps: list[NDArray[np.float32]], spec: DetectorSpec) -> None:
    """Write a face into the maps, with the anchor whose area is nearest.

    Args:
        box: pixels of the network's input.
        maps: of the shapes that the manifest says; written to.
        spec: what the manifest says of the network.
    """
    areas = np.array([width * height for width, height in spec.anchors])
    anchor = int(np.abs(np.log(box.width * box.height / areas)).argmin())
    chosen = maps[anchor // ANCHORS_EACH]
    cells = chosen.shape[1]
    x, y = ((box.x + box.width / 2), (box.y + box.height / 2))
    x, y = (min(max(value / spec.input.size * cells, 0.01), cells - 0.01) for value in (x, y))
    values = chosen.reshape(cells, cells, ANCHORS_EACH, -1)[int(y), int(x), anchor % ANCHORS_EACH]
    width, height = spec.anchors[anchor]
    inside = np.clip([x % 1, y % 1], 0.01, 0.99)
    values[:2] = np.log(inside / (1 - inside))
    values[2:BOX_VALUES] = np.log(box.width / width), np.log(box.height / height), _YES


def open_planted(settings: Settings, frames: Iterable[Image]) -> Detector:
    """The detector of one pass, which finds what MTCNN finds.

    Args:
        settings: of the run.
        frames: its pictures.
    """
    store, detect = ModelStore(settings.models), settings.detect
    spec = store.spec(detect.model, "detect")
    boxes: dict[int, list[Box]] = {}
    with open_detector(detect.model_copy(update={"kind": "mtcnn"}), store) as mtcnn:
        for frame in frames:
            view = derotate(frame, detect.size, None).image
            boxed = letterbox(view, spec.input.size)
            x, y = boxed.scale
            boxes[hash(boxed.image.tobytes())] = [
                Box(box.x / x + boxed.left, box.y / y + boxed.top, box.width / x, box.height / y)
                for box in (face.box for face in mtcnn.find(view))
            ]
    network = open_network(store, detect.model, "cpu", detect.threads)
    return YoloDetector(detect, spec, Planted(network, spec, boxes), open_landmarks(detect, store))


def measure(way: str, faces: int, models: Path | None) -> Cost:
    """The cost of one way with a number of faces.

    Args:
        way: one of `WAYS`.
        faces: of a synthetic crowd.
        models: the folder of networks; None: the shipped ones.
    """
    flags = {"models": None if models is None else str(models), "detect.threads": 1, "classify.threads": 1, **WAYS[way]}
    settings, monitor = load_settings(environment={}, flags=flags), BenchMonitor()
    images, _ = decode(crowd(settings, faces).capture, FRAMES, settings.detect.size)
    detector = open_planted(settings, images) if settings.detect.kind == "yolo" else None
    frames = [
        Frame(index, image, time_ns := round(index / FPS * 1e9), 0.0, time_ns)
        for index, image in enumerate([*images, *images[::-1]])
    ]
    with Recognizer(settings, monitor.stage, detector=detector) as recognizer:
        for _ in recognizer.read(frames[:FRAMES]):
            pass
        monitor.forget()
        start = time.process_time()
        found = sum(len(one.faces) for one in recognizer.read(frames[FRAMES:]))
        taken = time.process_time() - start
    searches = monitor.passes["detect"]
    return Cost(way, faces, round(found / FRAMES, 1), searches, round(taken / FRAMES * 1e3, 2))


def main() -> int:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, help="a folder with a network of kind yolo; default: the shipped models")
    parser.add_argument("--faces", default="1,4,16")
    arguments = parser.parse_args()
    for way in WAYS:
        for faces in map(int, arguments.faces.split(",")):
            print(json.dumps(asdict(measure(way, faces, arguments.models))), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

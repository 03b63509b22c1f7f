"""What a frame costs from 1 to 16 faces, by detector and kind of labels, and in the published pipeline.

    make field-detector_cost ARGS="--faces 1,4,16 --against plain"

The network of kind yolo runs on each picture that is searched; its answer is then replaced by the faces that MTCNN
finds there, so that the cost is that of these faces, however good the network is. Measured is processor time of all
threads, which other programs on the machine change little. The numbers of faces take turns, and ratios are formed
within a turn.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_fer.bench.compare import Contender, Runtime, find_baselines, read_all
from edge_fer.bench.source import crowd, decode
from edge_fer.faces.derotate import derotate
from edge_fer.faces.detectors import Detector, open_detector
from edge_fer.faces.detectors.yolov3_tiny.detector import YoloDetector, open_landmarks
from edge_fer.faces.detectors.yolov3_tiny.letterbox import letterbox
from edge_fer.faces.detectors.yolov3_tiny.network import Maps, YoloNetwork, open_network
from edge_fer.inference.manifest_detect import ANCHORS_EACH, BOX_VALUES, DetectorSpec
from edge_fer.inference.model_store import ModelStore
from edge_fer.inference.supervised import SupervisedDevice
from edge_fer.settings import Settings, load_settings
from edge_fer.types import Box, Image, Origin

OWN = {"detect.kind": "yolo", "detect.labels": "own"}
WAYS: dict[str, dict[str, object]] = {
    "yolo-own, every frame": {**OWN, "keyframe.enabled": False},
    "yolo-own": {**OWN},
    "yolo": {"detect.kind": "yolo"},
    "mtcnn": {},
}
"""Settings by the names of `edge-fer bench --against`; all but the first search key frames."""

FRAMES, FPS, TURNS = 30, 30.0, 5
SLOW_FRAMES = 3  # of a baseline, which takes a second for some
_NO, _YES = -12.0, 5.0  # logits of objectness


@dataclass(frozen=True)
class Cost:
    """What one way costs.

    Attributes:
        way: one of `WAYS`, or a baseline.
        faces: in each frame.
        found: faces that were found in a frame, on average.
        searches: part of the frames that were searched as a whole; None for a baseline.
        frame_ms: processor time of a frame, milliseconds: the median of the turns.
        from_ms: the least of a turn.
        to_ms: the most of a turn.
        times_first: `frame_ms` relative to that of the first number of faces: the median of the turns' ratios.
    """

    way: str
    faces: int
    found: float
    searches: float | None
    frame_ms: float
    from_ms: float
    to_ms: float
    times_first: float


class Planted:
    """The network on the CPU, whose answers are replaced; see `edge_fer.faces.detectors.yolov3_tiny.detector.Searcher`.

    Args:
        network: it runs on each picture.
        answers: of each picture, by `key_of` it.
    """

    devices: tuple[SupervisedDevice, ...] = ()

    def __init__(self, network: YoloNetwork, answers: Mapping[int, Maps]) -> None:
        self.origin: Origin = network.origin
        self._network, self._answers = network, answers

    def search(self, image: Image) -> tuple[Maps, Origin]:
        """Run the network, and answer with the faces that are there."""
        self._network.maps(image)
        return self._answers[key_of(image)], self.origin

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


def key_of(image: Image) -> int:
    """What tells a picture from others, in little time."""
    return hash(image[::8, ::8].tobytes())


def open_planted(settings: Settings, frames: Iterable[Image]) -> Detector:
    """The detector of one pass, which finds what MTCNN finds.

    Args:
        settings: of the run.
        frames: its pictures.
    """
    store, detect = ModelStore(settings.models), settings.detect
    spec = store.spec(detect.model, "detect")
    answers: dict[int, Maps] = {}
    with open_detector(detect.model_copy(update={"kind": "mtcnn"}), store) as mtcnn:
        for frame in frames:
            view = derotate(frame, detect.size, None).image
            boxed = letterbox(view, spec.input.size)
            (x, y), maps = boxed.scale, [np.full(shape, _NO, np.float32) for shape in spec.map_shapes]
            for box in (face.box for face in mtcnn.find(view)):
                plant(Box(box.x / x + boxed.left, box.y / y + boxed.top, box.width / x, box.height / y), maps, spec)
            answers[key_of(boxed.image)] = tuple(maps)
    network = open_network(store, detect.model, "cpu", detect.threads)
    return YoloDetector(detect, spec, Planted(network, answers), open_landmarks(detect, store))


def open_runtime(way: str, images: Sequence[Image], models: Path | None) -> Runtime:
    """The runtime in one of the `WAYS`, with one thread for each network.

    Args:
        way: its name.
        images: the frames that it will see.
        models: the folder of networks; None: the shipped ones.
    """
    flags = {"models": None if models is None else str(models), "detect.threads": 1, "classify.threads": 1, **WAYS[way]}
    settings = load_settings(environment={}, flags=flags)
    return Runtime(settings, FPS, way, open_planted(settings, images) if settings.detect.kind == "yolo" else None)


def measure(
    contenders: Mapping[int, Contender], crowds: Mapping[int, Sequence[Image]], turns: int = TURNS
) -> tuple[Cost, ...]:
    """The cost of one way with several numbers of faces.

    Args:
        contenders: what is measured, by the number of faces that it sees.
        crowds: the frames, by the number of faces in each.
        turns: how often each goes through its frames, forwards and backwards, after the first time.
    """
    times: dict[int, list[float]] = {faces: [] for faces in contenders}
    found = dict.fromkeys(contenders, 0)
    for turn in range(turns + 1):
        for faces, contender in contenders.items():
            start = time.process_time()
            found[faces] = read_all(contender, crowds[faces][:: 1 if turn % 2 else -1])
            times[faces].append((time.process_time() - start) / len(crowds[faces]) * 1e3)
            if turn == 0 and isinstance(contender, Runtime):
                contender.monitor.forget()
    return tuple(_cost(contenders[faces], faces, found[faces], crowds, times) for faces in contenders)


def _cost(
    contender: Contender,
    faces: int,
    found: int,
    crowds: Mapping[int, Sequence[Image]],
    times: Mapping[int, Sequence[float]],
) -> Cost:
    frames, taken, first = len(crowds[faces]), times[faces][1:], times[min(times)][1:]
    searches = contender.monitor.passes["detect"] / frames / len(taken) if isinstance(contender, Runtime) else None
    return Cost(
        contender.name,
        faces,
        round(found / frames, 1),
        searches if searches is None else round(searches, 3),
        *(round(value, 2) for value in (statistics.median(taken), min(taken), max(taken))),
        round(statistics.median(mine / base for mine, base in zip(taken, first, strict=True)), 2),
    )


def main() -> int:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, help="a folder with a network of kind yolo; default: the shipped models")
    parser.add_argument("--faces", default="1,4,16")
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--against", choices=["plain", "plain-litert"], nargs="*", default=[], help="needs extra `lab`")
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=[*WAYS], help="default: all")
    arguments = parser.parse_args()
    counts, settings = sorted(map(int, arguments.faces.split(","))), load_settings(environment={}, flags={})
    crowds = {faces: decode(crowd(settings, faces).capture, FRAMES, settings.detect.size)[0] for faces in counts}
    for way in arguments.ways:
        with ExitStack() as stack:
            runs = {
                faces: stack.enter_context(open_runtime(way, images, arguments.models))
                for faces, images in crowds.items()
            }
            tell(measure(runs, crowds, arguments.turns))
    few = {faces: images[:SLOW_FRAMES] for faces, images in crowds.items()}
    for opener in find_baselines(arguments.against):
        with closing(opener()) as baseline:
            tell(measure(dict.fromkeys(counts, baseline), few, arguments.turns))
    return 0


def tell(costs: Iterable[Cost]) -> None:
    """Print them, one a line."""
    for cost in costs:
        print(json.dumps(asdict(cost)), flush=True)


if __name__ == "__main__":
    sys.exit(main())

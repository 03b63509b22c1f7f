"""What it costs to have another process read faces, how two clients share it, and what a slow network changes.

    make field-remote_cost ARGS='--faces 1000'

Faces are read here and by a real `edge-fer serve` on loopback, by turns: the difference of the two medians is what the
way there and back costs. Two clients ask at once; each should get half. A pipeline reads a camera of 25 frames a second
through a cable of 20 ms: the frame rate should hold, and labels be older and say so. Ends with 1 when a promise is
broken.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np

from edge_fer.bench.resources import cpu_seconds
from edge_fer.expression.classifier import open_network
from edge_fer.expression.open_model import open_expression_model
from edge_fer.pipeline import Pipeline
from edge_fer.publish import Sink
from edge_fer.schema import Reading, Record
from edge_fer.settings import load_settings
from edge_fer.synthetic.scenes import crowd_scene
from edge_fer.types import Image
from tools.field.remote_box import MODEL, STORE, ServerProcess, client_settings, face, free_port
from tools.field.remote_cable import Cable

MOST_MS = 2.0  # of the way there and back, in the median
SHARE = 0.1  # that two clients' shares may differ by
DELAY_S = 0.02  # of the network, there and back together
FPS = 25.0
FPS_KEPT = 0.95


def cost(server: ServerProcess, folder: Path, faces: int) -> dict[str, float]:
    """Median times of a face, here and there by turns, milliseconds; and processor time, of both processes."""
    times: dict[str, list[float]] = {"here": [], "there": []}
    work = dict.fromkeys(times, 0.0)
    settings = client_settings(server.port, folder, 2000.0, check_every=0)
    with open_network(STORE, MODEL) as here, open_expression_model(settings, STORE) as there:
        for number in range(faces):
            one = face(number)
            for name, model in (("here", here), ("there", there)):
                began, worked = time.monotonic(), time.process_time() + cpu_seconds(server.pid)
                expression = model.classify(one)
                times[name].append((time.monotonic() - began) * 1e3)
                work[name] += time.process_time() + cpu_seconds(server.pid) - worked
                assert expression.origin is not None
                assert expression.origin.reason is None, expression.origin.reason
    result = {f"{name}_ms": round(median(values), 3) for name, values in times.items()}
    result |= {f"least_{name}_ms": round(float(np.percentile(values, 5)), 3) for name, values in times.items()}
    result |= {f"work_{name}_ms": round(1e3 * seconds / faces, 3) for name, seconds in work.items()}
    return {**result, "way_ms": round(result["there_ms"] - result["here_ms"], 3)}


def shares(server: ServerProcess, folder: Path, seconds: float) -> list[int]:
    """How many faces each of two clients got read, that ask as fast as they can."""
    counts, over = [0, 0], threading.Event()
    settings = client_settings(server.port, folder, 2000.0, check_every=0)

    def ask(place: int) -> None:
        with open_expression_model(settings, STORE) as model:
            one = face(place)
            ready.wait()
            while not over.is_set():
                model.classify(one)
                counts[place] += 1

    ready = threading.Barrier(3)
    threads = [threading.Thread(target=ask, args=(place,)) for place in range(2)]
    for thread in threads:
        thread.start()
    ready.wait()
    over.wait(seconds)
    over.set()
    for thread in threads:
        thread.join()
    return counts


class Kept(Sink):
    """What a run published."""

    name = "kept"

    def __init__(self) -> None:
        self.readings: list[tuple[float, Reading]] = []

    def publish(self, record: Record, image: Image | None) -> None:
        if isinstance(record, Reading):
            self.readings.append((time.monotonic(), record))


def live(server: ServerProcess, folder: Path, seconds: float, delay_s: float) -> dict[str, float]:
    """Frame rate and age of labels before a camera, through a cable with a delay."""
    scene = crowd_scene(seed=3, faces=1, frames=60)
    video = folder / "face.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (640, 360))
    for index in [*range(60), *range(59, -1, -1)]:
        writer.write(cv2.resize(np.asarray(scene.render(index)), (640, 360)))
    writer.release()
    with ExitStack() as stack:
        cable = stack.enter_context(Cable(server.port))
        cable.delay_s = delay_s / 2
        classify = client_settings(cable.port, folder, 2000.0, check_every=0)
        settings = load_settings(
            environment={}, flags={"capture.source": str(video), "capture.realtime": True, "capture.loop": True}
        )
        settings = settings.model_copy(update={"classify": classify})
        kept, stopping = Kept(), threading.Event()
        pipeline = stack.enter_context(Pipeline(settings, [kept], stopping))
        pipeline.run(duration_s=seconds + 2)
    readings = [(at, reading) for at, reading in kept.readings if at > kept.readings[0][0] + 2]
    moments = [at for at, _ in readings]
    ages = [one.label_age_ms for _, reading in readings for one in reading.faces if one.label_age_ms is not None]
    degraded = sum(reading.degraded for _, reading in readings)
    return {
        "fps": round((len(moments) - 1) / (moments[-1] - moments[0]), 2),
        "label_age_ms": round(median(ages), 1),
        "degraded": degraded,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20.0, help="of the runs of two clients, and of each live run")
    options = parser.parse_args()
    logging.getLogger("edge_fer").setLevel(logging.ERROR)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = ServerProcess(folder, free_port())
        server.start()
        try:
            found: dict[str, Any] = {
                "cost": cost(server, folder, options.faces),
                "shares": shares(server, folder, options.seconds),
                "live": live(server, folder, options.seconds, 0.0),
                "live_20_ms": live(server, folder, options.seconds, DELAY_S),
            }
        finally:
            server.end()
    print(json.dumps(found, indent=2))
    first, second = found["shares"]
    near, far = found["live"], found["live_20_ms"]
    kept = {
        f"a face costs at most {MOST_MS:g} ms more": found["cost"]["way_ms"] <= MOST_MS,
        "two clients share alike": abs(first - second) <= SHARE * max(first, second),
        "with 20 ms of delay the frame rate holds": far["fps"] >= FPS_KEPT * min(near["fps"], FPS),
        "labels are older, and say so": far["label_age_ms"] >= near["label_age_ms"] + DELAY_S * 500,
        "no label was the CPU's": near["degraded"] + far["degraded"] == 0,
    }
    problems = [promise for promise, is_kept in kept.items() if not is_kept]
    print("kept every promise" if not problems else f"NOT kept: {'; '.join(problems)}")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())

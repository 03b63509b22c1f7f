"""From a recording to a network of one's own: records the sample, cuts it by track, labels it in a browser, trims it.

python -m tools.field.label_a_recording --out out/label

Then a Frame Attention Network learns from these tracks for a minute, from random weights, and reads the sample. Each
step is the command that a person types; Chromium presses the keys. It ends when one of them fails, or when what it has
left is not what it should be.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_fer.capture.sources.sample import CLIP
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.clips.cut_record import CutClip, read_cuts
from edge_fer.lab.datasets.clips import Clips, load_clips
from edge_fer.settings import load_settings
from edge_fer.types import LABELS
from tests.support.chromium import Browser

COMMAND = [sys.executable, "-m", "edge_fer"]
CLASSIFIER = load_settings(environment={}).classify.model
SECONDS, SIDE = 2.5, 64  # of a clip at most; of the pictures that the network learns from, pixels
SHOWN = {"obama": "happiness", "obama_speaking": "surprise", "biden": "neutral", "astronaut": "happiness"}
"""What portraits of the sample show, for whoever labels them; the others show neutral."""
MARGIN = 3  # frames before the start and after the end
KEYS = {"Home": 36, "End": 35}


def call(*arguments: str | Path, environment: dict[str, str] | None = None) -> None:
    """Run a command as a person does, and show it."""
    print("$ edge-fer", *arguments, flush=True)
    subprocess.run([*COMMAND, *map(str, arguments)], check=True, env={**os.environ, **(environment or {})})


def record(folder: Path) -> tuple[Path, Path]:
    """Let the runtime record the sample as a camera would be recorded; the film and its readings."""
    film, readings = folder / "run.mkv", folder / "readings.jsonl"
    call(
        "run", "--camera", "sample", "--record", film, "--format", "none",
        environment={"EDGE_FER_PUBLISH__RECORD_PLAIN": "true", "EDGE_FER_PUBLISH__FILE__PATH": str(readings)},
    )  # fmt: skip
    return film, readings


def portraits(clips: dict[str, CutClip]) -> dict[str, str]:
    """Which portrait of the sample each clip shows, by the truth that lies beside it."""
    frames = json.loads(CLIP.with_suffix(".json").read_text())["frames"]
    found = {}
    for name, clip in clips.items():
        frame = round(clip.start_ms / 1000 * 30)
        x, y, width, height = clip.boxes[0] or (0, 0, 1, 1)
        middle = x + clip.window[0] + width / 2, y + clip.window[1] + height / 2
        found[name] = min(frames[frame], key=lambda face: distance(face["box"], middle))["name"]
    return found


def distance(box: list[float], middle: tuple[float, float]) -> float:
    """From the middle of a box to a point, pixels."""
    x, y, width, height = box
    return float(((x + width / 2 - middle[0]) ** 2 + (y + height / 2 - middle[1]) ** 2) ** 0.5)


@contextmanager
def page(clips: Path) -> Iterator[str]:
    """The labelling page, and its address."""
    command = [*COMMAND, "lab", "clips", "label", str(clips), "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            print(line.partition("; open")[0], flush=True)
            address = re.search(r"http://\S+", line)
            assert address is not None, line
            yield address[0]
        finally:
            process.terminate()
            process.wait(20)


def label(browser: Browser, people: dict[str, str], pictures: Path) -> None:
    """Label one clip after the other, as the page brings them."""
    for number in range(len(people)):
        browser.until("clip !== null && document.querySelector('#frame').dataset.shown === '0'")
        name, count = browser.text("#name"), browser.evaluate("clip.frames")
        expected = SHOWN.get(people[name], "neutral")
        press(browser, "Home", *"d" * MARGIN, "s", "End", *"a" * MARGIN, "s", *"a" * (count // 2), "s")
        press(browser, str(LABELS.index(expected) + 1))
        browser.evaluate("last")
        if number == 0:
            browser.until(f"document.querySelector('#frame').dataset.shown === '{count - 1 - MARGIN - count // 2}'")
            browser.screenshot(pictures / "label.png", whole=False)
        press(browser, "e")
        browser.until(f"overview.clips.filter(one => one.status === 'saved').length === {number + 1}")
    browser.until("!document.querySelector('#rest').hidden")
    print(browser.text("#done"), flush=True)


def press(browser: Browser, *keys: str) -> None:
    """Press some keys."""
    for key in keys:
        browser.press(key, KEYS.get(key, ord(key.upper()[0])), key if len(key) == 1 else "")


def check(clips: Path, tracks: Path) -> Clips:
    """Whether every clip has marks, and its faces are there from start to end."""
    cut, loaded, side = read_cuts(clips), load_clips(tracks), ModelStore().spec(CLASSIFIER, "classify").input.size
    assert len(list(clips.glob("*.txt"))) == len(cut), "a clip has no marks"
    assert len(loaded) == len(cut), "a clip is not among the tracks"
    for clip in loaded.clips:
        whole = len(cut[clip.name].times_ms)
        frames = clip.frames.tolist()
        assert frames[0] >= MARGIN
        assert frames[-1] <= whole - 1 - MARGIN
        assert len(frames) >= 0.8 * (whole - 2 * MARGIN), f"{clip.name}: {len(frames)} of {whole}"
        assert clip.read().shape[1:] == (side, side)
    return loaded


def labelled_tracks(out: Path) -> Path:
    """From the sample to labelled tracks; the folder that a network is trained on.

    Args:
        out: folder of all that is made.
    """
    film, readings = record(out)
    call("lab", "clips", "cut", film, "--runs", readings, "--seconds", str(SECONDS), "--out", out / "clips")
    people = portraits(read_cuts(out / "clips"))
    lines = ["clip,person", *(f"{clip},{person}" for clip, person in people.items())]
    (out / "clips" / "subjects.csv").write_text("\n".join(lines) + "\n")
    with page(out / "clips") as address, Browser() as browser:
        browser.resize(1280, 800)
        browser.visit(address)
        label(browser, people, out)
    call("lab", "clips", "trim", out / "clips", "--out", out / "tracks")
    loaded = check(out / "clips", out / "tracks")
    print(f"{len(loaded)} tracks of {len(set(loaded.subjects))} persons, {sum(map(len, loaded.clips))} faces")
    return out / "tracks"


def train_and_run(tracks: Path, out: Path) -> None:
    """Train a Frame Attention Network on the tracks, and read the sample with it.

    Args:
        tracks: the folder of labelled tracks.
        out: folder of all that is made.
    """
    changes = ("start.needs_weights=false", "stages.all.minutes=1", f"stages.all.size={SIDE}", "stages.all.batch=4")
    options = [option for change in changes for option in ("--set", change)]
    call("lab", "train", "fan", "--data", tracks, "--out", out / "run", "--models", out / "models", *options)
    published = out / "published.jsonl"
    call(
        "run", "--camera", "sample", "--models", out / "models", "--model", "my_fan", "--format", "none",
        environment={"EDGE_FER_PUBLISH__FILE__PATH": str(published)},
    )  # fmt: skip
    records = [json.loads(line) for line in published.read_text().splitlines()]
    readings = [face for one in records if one["schema"] == "edge-fer/reading/1" for face in one["faces"]]
    ended = [one for one in records if one["schema"] == "edge-fer/track/1"]
    weighted = sum(bool(face["track"] and face["track"]["weights"]) for face in readings)
    print(f"{len(readings)} faces in readings, {weighted} of them with weights of frames; {len(ended)} track records")
    assert weighted > len(readings) / 2
    assert {face["id"] for face in readings} == {one["id"] for one in ended}


def main() -> None:
    """Do all of it, and tell what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/label"), help="folder of all that is made; replaced")
    out = parser.parse_args().out
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    train_and_run(labelled_tracks(out), out)


if __name__ == "__main__":
    main()

"""From a labelled folder of photos to faces as the classifier will see them.

Every face is found by the runtime's detector at its default settings and cut out by its alignment with the
crop of the classifier, so that a network is trained on the very pixels that it will be handed later. That
holds for the sampling, too: a face is sampled at the crop's `detail` and enlarged to the network's input, as
the runtime does, although the photo may show more. A network that was trained on finer faces would see
nothing but blurred ones once it is deployed. For finer faces give another `detail`: it is written
down beside the faces, and goes with them into the manifest of the network that is trained on them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2

from edge_fer.common.text import counted
from edge_fer.errors import OutputError, SourceError
from edge_fer.faces.detectors import Detector, open_detector
from edge_fer.inference.manifest import ClassifierSpec
from edge_fer.inference.manifest_parts import CropSpec
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.console import Reporter
from edge_fer.lab.datasets.crops import CROPS, Crops
from edge_fer.lab.datasets.cut_face import cut_face, largest_side
from edge_fer.lab.datasets.dataset import SPLITS, Dataset, FileImages, Split, find_split, is_picture
from edge_fer.settings import DetectSettings
from edge_fer.types import LABELS

LEFT_OUT = "left_out.txt"

NO_FACE = "no face found"
TOO_SMALL = "only faces that are too small for a run"
OUTSIDE = "outside the class folders"
NO_PICTURE = "no picture that can be read"
UNREAD = "a kind of picture that is not read"

_FRAMED, _BORDER = 300, 150  # long side of a photo in a border, and how wide that is, pixels
_SMALLEST = 20  # side of the faces that are looked for to say that they are too small, pixels

_UNREAD_SUFFIXES = frozenset({".cr2", ".cr3", ".dng", ".heic", ".heif", ".jxl", ".nef"})
_USUAL = DetectSettings()
_OURS = frozenset({*SPLITS.values(), CROPS, LEFT_OUT})
_STEM = 60  # characters of a photo's name that its face keeps


def cut_faces(
    photos: Dataset, folder: Path, out: Path, store: ModelStore, classifier: str, detail: int | None, report: Reporter
) -> Crops:
    """Cut a face out of every photo of a data set.

    Args:
        photos: the data set.
        folder: the folder of the photos.
        out: gets a folder for each split with one for each label, `crops.json`, and `left_out.txt`; replaced
            where it is of this function.
        store: the folder of the detector's networks and of the classifier.
        classifier: whose crop is used.
        detail: instead of the crop's own, pixels.
        report: receives lines and progress.

    Raises:
        SourceError: when the photos are no files, are cut already, or show no face at all.
        OutputError: when `out` holds anything else, or cannot be written.
        ModelError: when there is no such classifier.
        BackendError: when the detector fails.
    """
    images = _files(photos)
    _check_out(folder.resolve(), out.resolve())
    spec = store.spec(classifier, "classify")
    crop, size = _crop(spec, detail)
    with (
        _replacing(out.resolve()) as partial,
        open_detector(_USUAL, store) as detector,
        open_detector(_USUAL.model_copy(update={"min_face": _SMALLEST}), store) as keen,
    ):
        work = _Work(folder, partial, (detector, keen), crop, size, colour=spec.input.colour != "grey")
        work.leave_out_unread()
        work.leave_out_others(images)
        with report.step(f"cutting faces out of {len(images)} photos") as progress:
            for index, path in enumerate(images.paths):
                work.take(images, index, path, SPLITS[Split(photos.splits[index])], LABELS[photos.labels[index]])
                progress(index + 1, len(images))
        if not work.faces:
            raise SourceError(f"expected photos with faces in {folder}, found none in {len(images)}; check the photos")
        crops = work.record(photos, classifier)
    _tell(crops, out, report)
    return crops


class _Work:
    """Photos being cut, and the account of them.

    Args:
        folder: the folder of the photos.
        out: where the faces go.
        detectors: the runtime's, and one that finds smaller faces, which are told and not cut.
        crop: how faces are cut out.
        size: side of a face, pixels.
        colour: whether faces keep their colour.
    """

    def __init__(
        self, folder: Path, out: Path, detectors: tuple[Detector, Detector], crop: CropSpec, size: int, *, colour: bool
    ) -> None:
        self._folder, self._out, (self._detector, self._keen) = folder, out, detectors
        self._crop, self._size, self._colour = crop, size, colour
        self.faces: Counter[tuple[str, str]] = Counter()
        self._lines: list[str] = []
        self._left_out: Counter[str] = Counter()
        self._bordered = self._several = 0

    def leave_out_unread(self) -> None:
        """Name the pictures that no data set of ours would list."""
        for path in sorted(self._folder.rglob("*")):
            if path.suffix.lower() in _UNREAD_SUFFIXES:
                self._leave_out(path, UNREAD, f"convert {path.suffix} to .jpg")

    def leave_out_others(self, images: FileImages) -> None:
        """Name the pictures that lie beside the class folders, which have no label."""
        splits = [path for path in self._folder.iterdir() if path.is_dir() and find_split(path.name) is not None]
        beside = {path for place in (self._folder, *splits) for path in place.iterdir() if is_picture(path)}
        for path in sorted(beside - set(images.paths)):
            self._leave_out(path, OUTSIDE, "move it into one")

    def take(self, images: FileImages, index: int, path: Path, split: str, label: str) -> None:
        """Cut the face out of one photo, and write it."""
        try:
            photo = images.colour(index)
        except SourceError as error:
            self._leave_out(path, NO_PICTURE, str(error))
            return
        cut = cut_face(self._detector, photo, self._crop, self._size, colour=self._colour)
        if cut is None:
            side = largest_side(self._keen, photo, _USUAL.size)
            pixels = f"{photo.shape[1]}x{photo.shape[0]} pixels"
            small = f"{pixels}; {side:.0f} when shrunk to {_USUAL.size}, and {_USUAL.min_face} are needed"
            self._leave_out(path, TOO_SMALL if side else NO_FACE, small if side else pixels)
            return
        target = self._out / split / label / self._name(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(cv2.imencode(".png", cut.face)[1].tobytes())
        self.faces[split, label] += 1
        self._bordered += cut.bordered
        self._several += cut.faces > 1

    def record(self, photos: Dataset, classifier: str) -> Crops:
        """Write the account."""
        crops = Crops(
            classifier=classifier,
            crop=self._crop,
            size=self._size,
            photos=len(photos),
            faces={name: {label: self.faces[name, label] for label in LABELS} for name in SPLITS.values()},
            drawn=tuple(SPLITS[split] for split in photos.drawn),
            bordered=self._bordered,
            several=self._several,
            left_out=dict(sorted((self._left_out + Counter(photos.left_out)).items())),
        )
        text = crops.model_dump_json(by_alias=True, indent=2) + "\n"
        (self._out / CROPS).write_text(text, encoding="utf-8")
        (self._out / LEFT_OUT).write_bytes(b"".join(os.fsencode(line) + b"\n" for line in sorted(self._lines)))
        return crops

    def _name(self, path: Path) -> str:
        """What the face is called: like its photo, and by a part of the hash of where that lies never like another."""
        relative = path.relative_to(self._folder).as_posix()
        return f"{path.stem[:_STEM]}-{hashlib.sha256(os.fsencode(relative)).hexdigest()[:8]}.png"

    def _leave_out(self, path: Path, reason: str, more: str) -> None:
        self._left_out[reason] += 1
        self._lines.append(f"{path.relative_to(self._folder)}: {reason} ({more})")


def _files(photos: Dataset) -> FileImages:
    if photos.crop is not None:
        raise SourceError(f"expected photos, found the faces in {photos.name}, which are cut already; train on them")
    if not isinstance(photos.images, FileImages):
        raise SourceError(
            f"expected photos in files, found {photos.name}, which comes as cut faces in one file; train on it as it is"
        )
    return photos.images


def _crop(spec: ClassifierSpec, detail: int | None) -> tuple[CropSpec, int]:
    """The crop and the size of the faces."""
    crop, size = spec.crop, spec.input.size
    return (crop if detail is None else crop.model_copy(update={"detail": min(detail, size)})), size


def _check_out(folder: Path, out: Path) -> None:
    """Whether faces may be written there without touching anybody's files."""
    if out == folder or folder in out.parents or out in folder.parents:
        raise OutputError(f"expected a folder for the faces apart from the photos in {folder}, found {out}")
    if not out.exists():
        return
    found = {path.name for path in out.iterdir()} if out.is_dir() else {out.name}
    if found and not (CROPS in found and found <= _OURS):
        other = min(found - _OURS, default=min(found))
        raise OutputError(
            f"expected an empty folder or faces of an earlier run at {out}, found {other}; choose another"
        )


@contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    """A folder beside `out` to write to, whose content takes the place of that of `out` once it is whole."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as name:
            yield Path(name)
            out.mkdir(exist_ok=True)
            for old in out.iterdir():
                shutil.rmtree(old) if old.is_dir() else old.unlink()
            for new in sorted(Path(name).iterdir(), key=lambda path: path.name == CROPS):
                shutil.move(new, out / new.name)
    except SourceError:
        raise
    except OSError as error:
        raise OutputError(f"expected to write faces to {out}, found: {error.strerror or error}; check it") from error


def _tell(crops: Crops, out: Path, report: Reporter) -> None:
    """Report the counts."""
    if crops.drawn:
        report.say(
            f"there are no folders for {' and '.join(crops.drawn)}: about a tenth of each expression was drawn "
            "for each, by file name, so that they are always the same"
        )
    report.say(f"{'':12}" + "".join(f"{name:>8}" for name in crops.faces))
    for label in LABELS:
        report.say(f"{label:12}" + "".join(f"{counts[label]:8}" for counts in crops.faces.values()))
    total = sum(sum(counts.values()) for counts in crops.faces.values())
    report.say(
        f"{counted(total, 'face')} from {counted(crops.photos, 'photo')}; found only with a border around: "
        f"{crops.bordered}"
    )
    if crops.several:
        report.say(f"photos with several faces: {crops.several}; the largest face was taken")
    if crops.left_out.get(TOO_SMALL):
        report.say(
            f"warning: in {counted(crops.left_out[TOO_SMALL], 'photo')} all faces are smaller than {_USUAL.min_face} "
            f"pixels when it is shrunk to {_USUAL.size}, as of groups; a run does not find these either: cut closer"
        )
    for reason, count in crops.left_out.items():
        report.say(f"left out: {count} ({reason})")
    if crops.left_out:
        report.say(f"which ones, and why: {out / LEFT_OUT}")
    for split, why in ((Split.TRAINING, "will not name it"), (Split.VALIDATION, "is not judged by it")):
        for label in LABELS:
            if not crops.faces[SPLITS[split]][label]:
                report.say(f"no faces of {label} in {SPLITS[split]}: a network trained on these {why}")

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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge_fer.errors import OutputError, SourceError
from edge_fer.faces.align import align
from edge_fer.faces.detectors import Detector, open_detector
from edge_fer.inference.manifest import ClassifierSpec, CropSpec
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.console import Reporter
from edge_fer.lab.datasets.crops import CROPS, Crops
from edge_fer.lab.datasets.dataset import SPLITS, Dataset, FileImages, Split
from edge_fer.settings import DetectSettings
from edge_fer.types import LABELS, Face, Image, Landmarks, Point

LEFT_OUT = "left_out.txt"

NO_FACE = "no face found"
NO_PICTURE = "no picture that can be read"
UNREAD = "a kind of picture that is not read"

_FRAMED, _BORDER = 300, 150  # long side of a photo in a border, and how wide that is, pixels
_UNREAD_SUFFIXES = frozenset({".cr2", ".cr3", ".dng", ".heic", ".heif", ".jxl", ".nef"})
_OURS = frozenset({*SPLITS.values(), CROPS, LEFT_OUT})
_STEM = 60  # characters of a photo's name that its face keeps


@dataclass(frozen=True, slots=True)
class Cut:
    """What became of a photo.

    Attributes:
        face: uint8: `(size, size)`, grey, or `(size, size, 3)`, BGR.
        faces: how many there were.
        bordered: whether they were found only with a border around the photo.
    """

    face: Image
    faces: int
    bordered: bool


def cut_face(detector: Detector, photo: Image, crop: CropSpec, size: int, *, colour: bool = False) -> Cut | None:
    """Cut out the largest face.

    Args:
        detector: the runtime's detector.
        photo: `(height, width, 3)` uint8, BGR.
        crop: how faces are cut out for the classifier.
        size: side of its input, pixels.
        colour: whether it takes colour.

    Returns:
        None where no face is found, even in a border, which faces that fill their picture need.
    """
    found: Sequence[Face] = detector.find(photo)
    bordered = not found
    if bordered:
        found = _find_in_border(detector, photo)
    if not found:
        return None
    largest = max(found, key=lambda face: face.box.width * face.box.height)
    return Cut(align(photo, largest.landmarks, crop, size, colour=colour), len(found), bordered)


def _find_in_border(detector: Detector, photo: Image) -> list[Face]:
    """Faces of a photo brought to 300 pixels with a border of its mean colour; landmarks of the photo, boxes not."""
    scale = _FRAMED / max(photo.shape[:2])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    width, height = (max(1, round(side * scale)) for side in (photo.shape[1], photo.shape[0]))
    resized = cv2.resize(photo, (width, height), interpolation=how)
    mean = tuple(float(value) for value in photo.mean(axis=(0, 1)))
    framed = cv2.copyMakeBorder(resized, _BORDER, _BORDER, _BORDER, _BORDER, cv2.BORDER_CONSTANT, value=mean)
    across, down = photo.shape[1] / width, photo.shape[0] / height

    def to_photo(point: Point) -> Point:
        return Point((point.x - _BORDER + 0.5) * across - 0.5, (point.y - _BORDER + 0.5) * down - 0.5)

    return [
        Face(face.box, face.score, Landmarks(*map(to_photo, face.landmarks.points)))
        for face in detector.find(np.asarray(framed, np.uint8))
    ]


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
    with _replacing(out.resolve()) as partial, open_detector(DetectSettings(), store) as detector:
        work = _Work(folder, partial, detector, crop, size, colour=spec.input.colour != "grey")
        work.leave_out_unread()
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
    """Photos being cut, and the account of them."""

    def __init__(self, folder: Path, out: Path, detector: Detector, crop: CropSpec, size: int, *, colour: bool) -> None:
        self._folder, self._out, self._detector = folder, out, detector
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

    def take(self, images: FileImages, index: int, path: Path, split: str, label: str) -> None:
        """Cut the face out of one photo, and write it."""
        try:
            photo = images.colour(index)
        except SourceError as error:
            self._leave_out(path, NO_PICTURE, str(error))
            return
        cut = cut_face(self._detector, photo, self._crop, self._size, colour=self._colour)
        if cut is None:
            self._leave_out(path, NO_FACE, f"{photo.shape[1]}x{photo.shape[0]} pixels")
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
    report.say(f"{total} faces from {crops.photos} photos, {crops.bordered} of them found only with a border around")
    if crops.several:
        report.say(f"{crops.several} photos show several faces: the largest was taken")
    for reason, count in crops.left_out.items():
        report.say(f"left out: {count} ({reason})")
    if crops.left_out:
        report.say(f"which ones, and why: {out / LEFT_OUT}")
    for split, why in ((Split.TRAINING, "will not name it"), (Split.VALIDATION, "is not judged by it")):
        for label in LABELS:
            if not crops.faces[SPLITS[split]][label]:
                report.say(f"no faces of {label} in {SPLITS[split]}: a network trained on these {why}")

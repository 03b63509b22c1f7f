"""From a stranger's folder of photos to faces as the classifier sees them: what is kept, left out, and said."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edge_fer.errors import EdgeFerError, OutputError, SourceError
from edge_fer.faces.align import align
from edge_fer.faces.detectors import open_detector
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.cli.app import app
from edge_fer.lab.datasets import open_dataset
from edge_fer.lab.datasets.crops import read_crops
from edge_fer.lab.datasets.cut_face import cut_face
from edge_fer.lab.datasets.dataset import FileImages, Split, hard, with_splits
from edge_fer.settings import ClassifySettings, DetectSettings
from edge_fer.synthetic.scenes import crowd_scene
from edge_fer.types import Image
from tests.lab.support.portraits import portrait_crop

pytestmark = pytest.mark.lab

SPEC = ModelStore().spec(ClassifySettings().model, "classify")
CROP, SIZE = SPEC.crop, SPEC.input.size


def scene(faces: int, seed: int = 1) -> Image:
    return crowd_scene(seed=seed, faces=faces, frames=1).render(0)


def write(path: Path, image: Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Class folders with a face, two faces, a tight crop, a wall, a file that is none, and one that is not read."""
    folder = tmp_path / "photos"
    for number in range(4):
        write(folder / "Happy" / f"{number}.png", scene(1, number + 1))
    write(folder / "sad" / "two.png", scene(2))
    write(folder / "sad" / "inner" / "0.png", scene(1, 2))
    write(folder / "sad" / "tight.png", _tight())
    write(folder / "fear" / "wall.png", scene(0))
    write(folder / "fear" / "group.png", _far())
    write(folder / "outside.png", scene(1))
    (folder / "fear" / "broken.jpg").write_bytes(b"no picture")
    (folder / "fear" / "phone.HEIC").write_bytes(b"heic")
    (folder / "disgust").mkdir()
    write(folder / "contempt" / "0.png", scene(1))
    return folder


def _far() -> Image:
    """Two faces of some 25 pixels in a picture of 900."""
    small = cv2.resize(scene(2, 2), (100, 56), interpolation=cv2.INTER_AREA)
    return np.pad(small, ((400, 400), (400, 400), (0, 0)), "edge")


def _tight() -> Image:
    """A small face that fills its picture, which is found only in a border."""
    face = scene(1)
    with open_detector(DetectSettings(), ModelStore()) as detector:
        box = detector.find(face)[0].box
    left, top, width, height = (round(side) for side in box)
    small = cv2.resize(face[top : top + height, left : left + width], (38, 48), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def invoke(*arguments: Path | str) -> Any:
    result = CliRunner().invoke(app, ["faces", *map(str, arguments)])
    if isinstance(result.exception, EdgeFerError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def tree(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_folder_of_photos_becomes_a_data_set(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "faces"
    said = invoke(photos, out).output
    crops = read_crops(out)
    assert crops is not None
    counts = {label: sum(split[label] for split in crops.faces.values()) for label in crops.faces["train"]}
    assert {label: count for label, count in counts.items() if count} == {"happiness": 4, "sadness": 3}
    assert (crops.photos, crops.several, crops.bordered) == (10, 1, 1)
    assert crops.left_out == {
        "a kind of picture that is not read": 1,
        "contempt": 1,
        "no face found": 1,
        "no picture that can be read": 1,
        "only faces that are too small for a run": 1,
        "outside the class folders": 1,
    }
    left_out = (out / "left_out.txt").read_text().splitlines()
    assert [line.split(" (")[0] for line in left_out] == [
        "fear/broken.jpg: no picture that can be read",
        "fear/group.png: only faces that are too small for a run",
        "fear/phone.HEIC: a kind of picture that is not read",
        "fear/wall.png: no face found",
        "outside.png: outside the class folders",
    ]
    for sentence in (
        "there are no folders for valid and test: about a tenth of each expression was drawn for each",
        "warning: in 1 photo all faces are smaller than 40 pixels when it is shrunk to 600",
        "7 faces from 10 photos; found only with a border around: 1",
        "photos with several faces: 1; the largest face was taken",
        "left out: 1 (no face found)",
        "no faces of disgust in train: a network trained on these will not name it",
    ):
        assert sentence in said
    dataset = open_dataset(out)
    assert dataset.crop == CROP == crops.crop
    assert dataset.counts().sum(axis=1).tolist() == [sum(split.values()) for split in crops.faces.values()]
    assert {dataset.images[index].shape for index in range(len(dataset))} == {(SIZE, SIZE)}


def test_faces_are_cut_as_the_runtime_cuts_them(photos: Path, tmp_path: Path) -> None:
    invoke(photos, tmp_path / "faces")
    (written,) = (tmp_path / "faces").rglob("two-*.png")
    with open_detector(DetectSettings(), ModelStore()) as detector:
        found = detector.find(scene(2))
    largest = max(found, key=lambda face: face.box.width * face.box.height)
    expected = align(scene(2), largest.landmarks, CROP, SIZE)
    np.testing.assert_array_equal(cv2.imread(str(written), cv2.IMREAD_GRAYSCALE), expected)


def test_a_face_in_a_border_is_cut_out_of_the_photo() -> None:
    """The eyes of a tight crop come to where they are with all of the picture around them."""
    with open_detector(DetectSettings(), ModelStore()) as detector:
        tight, whole = (cut_face(detector, photo, CROP, 224) for photo in (_tight(), scene(1)))
    assert tight is not None
    assert whole is not None
    assert (tight.bordered, whole.bordered) == (True, False)
    eyes = slice(60, 110), slice(60, 164)
    difference = np.abs(tight.face[eyes].astype(int) - whole.face[eyes])
    assert difference.mean() < 0.3 * whole.face[eyes].std()


def test_twice_is_the_same_and_only_its_own_is_replaced(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "faces"
    invoke(photos, out)
    first = tree(out)
    invoke(photos, out)
    assert tree(out) == first
    (photos / "Happy" / "0.png").unlink()
    invoke(photos, out)
    assert len(tree(out)) == len(first) - 1
    before = tree(out)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"expected an empty folder or faces of an earlier run .*, found notes\.txt"):
        invoke(photos, out)
    assert tree(out).items() > before.items()
    assert {path.name for path in tmp_path.iterdir()} == {"photos", "faces"}


def test_detail_is_written_down(photos: Path, tmp_path: Path) -> None:
    invoke(photos, tmp_path / "faces", "--detail", "500")
    assert open_dataset(tmp_path / "faces").crop == CROP.model_copy(update={"detail": SIZE})


def test_split_folders_stay(tmp_path: Path) -> None:
    for split in ("train", "validation", "test"):
        write(tmp_path / "photos" / split / "happy" / "0.png", scene(1))
    said = invoke(tmp_path / "photos", tmp_path / "faces").output
    assert "there are no folders" not in said
    assert [name.rpartition("-")[0] for name in tree(tmp_path / "faces") if name.endswith(".png")] == [
        "test/happiness/0",
        "train/happiness/0",
        "valid/happiness/0",
    ]


@pytest.mark.parametrize("out", ["photos", "photos/faces", "."])
def test_faces_and_photos_stay_apart(photos: Path, tmp_path: Path, out: str) -> None:
    with pytest.raises(OutputError, match="expected a folder for the faces apart from the photos"):
        invoke(photos, tmp_path / out)


def test_what_cannot_be_cut_is_named(photos: Path, tmp_path: Path) -> None:
    write(tmp_path / "walls" / "happy" / "wall.png", scene(0))
    with pytest.raises(SourceError, match=r"expected photos with faces in .*walls, found none in 1"):
        invoke(tmp_path / "walls", tmp_path / "faces")
    assert not (tmp_path / "faces").exists()
    np.savez(tmp_path / "f.npz", x=np.zeros((1, 48, 48), np.uint8), votes=np.full((1, 10), 2, np.uint8), usage=[0])
    with pytest.raises(OutputError, match=r"expected another \.npz file for .*f\.npz, found .*faces; name"):
        invoke(tmp_path / "f.npz", tmp_path / "faces")
    invoke(photos, tmp_path / "faces")
    with pytest.raises(SourceError, match=r"the faces in faces, which are cut already"):
        invoke(tmp_path / "faces", tmp_path / "again")
    record = tmp_path / "faces" / "crops.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"size": "big"}))
    with pytest.raises(SourceError, match=r"expected what .* writes in .*crops\.json, found at size: .*; cut"):
        open_dataset(tmp_path / "faces")


def test_a_folder_that_cannot_be_written_is_an_output_error(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"expected to write faces to .*file/faces, found: "):
        invoke(photos, tmp_path / "file" / "faces")


def test_drawn_faces_stay_where_they_are_when_others_come() -> None:
    def drawn(names: list[str]) -> dict[str, int]:
        count = len(names)
        data = hard("x", np.zeros((count, 2, 2), np.uint8), np.zeros(count, np.int64), np.zeros(count, np.uint8), {})
        split = with_splits(data, (Split.VALIDATION, Split.TEST), names=names)
        assert split.drawn == (Split.VALIDATION, Split.TEST)
        return dict(zip(names, split.splits.tolist(), strict=True))

    names = [f"happy/IMG_{number}.jpg" for number in range(200)]
    before, after = drawn(names), drawn(["happy/first.jpg", *names[:190], *(f"new{number}.jpg" for number in range(9))])
    moved = sum(before[name] != after[name] for name in names[:190])
    assert moved <= 6
    assert sorted(drawn(list("abc")).values()) == [0, 1, 2]
    assert sorted(drawn(list("ab")).values()) == [0, 0]


def test_pictures_have_colours_when_they_are_asked_for(tmp_path: Path) -> None:
    write(tmp_path / "a.png", np.full((4, 5, 3), (200, 10, 90), np.uint8))
    images = FileImages((tmp_path / "a.png",))
    assert images.colour(0)[0, 0].tolist() == [200, 10, 90]
    assert images[0].shape == (4, 5)


def test_a_grey_crop_of_a_data_set_is_found(tmp_path: Path) -> None:
    write(tmp_path / "photos" / "happy" / "crop.png", portrait_crop())
    invoke(tmp_path / "photos", tmp_path / "faces")
    assert len(open_dataset(tmp_path / "faces")) == 1

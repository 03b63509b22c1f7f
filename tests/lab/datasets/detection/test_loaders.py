"""Darknet's, ExpW's and Aff-Wild2's layouts: what is read, and that one bad file costs one line."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fer.errors import OutputError, SourceError
from edge_fer.lab.datasets.detection import affwild2
from edge_fer.lab.datasets.detection.affwild2 import convert, read_annotations
from edge_fer.lab.datasets.detection.darknet import load_darknet, parse_face, read_boxes
from edge_fer.lab.datasets.detection.expw import load_expw
from edge_fer.lab.datasets.detection.pictures import UNLABELLED
from edge_fer.types import LABELS, Box, Face, Image, Landmarks, Point

HAPPINESS, ANGER, SADNESS = (LABELS.index(label) for label in ("happiness", "anger", "sadness"))


def _picture(path: Path, width: int = 40, height: int = 20) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((height, width, 3), 90, np.uint8))


def _darknet(folder: Path, boxes: dict[str, str]) -> Path:
    for name, text in boxes.items():
        _picture(folder / "images" / f"{name}.png")
        (folder / "labels").mkdir(exist_ok=True)
        (folder / "labels" / f"{name}.txt").write_text(text)
    names = list(boxes)
    (folder / "train.txt").write_text("".join(f"images/{name}.png\n" for name in names[:-1]))
    (folder / "valid.txt").write_text(f"images/{names[-1]}.png\n")
    (folder / "faces.names").write_text("happy\nangry\ncontempt\n")
    (folder / "faces.data").write_text("classes = 3\ntrain = train.txt\nvalid = valid.txt\nnames = faces.names\n")
    return folder / "faces.data"


def test_darknet_boxes_become_pixels(tmp_path: Path) -> None:
    found = load_darknet(_darknet(tmp_path, {"a": "0 0.5 0.5 0.5 0.4\n1 0.1 0.5 0.2 1\n", "b": ""}))
    picture = found.training[0]
    assert picture.boxes.tolist() == [pytest.approx([10, 6, 30, 14]), pytest.approx([0, 0, 8, 20], abs=1e-5)]
    assert picture.labels.tolist() == [HAPPINESS, ANGER]
    assert picture.targets[0, HAPPINESS] == 1
    assert not len(found.validation[0].boxes)
    assert not found.left_out


def test_darknet_faces_without_a_label_of_ours_are_not_background(tmp_path: Path) -> None:
    picture = load_darknet(_darknet(tmp_path, {"a": "-1 .5 .5 .2 .2\n2 .2 .2 .2 .2\n", "b": ""})).training[0]
    assert picture.labels.tolist() == [UNLABELLED, UNLABELLED]
    assert not picture.targets.any()


def test_darknet_bad_files_cost_one_line_each(tmp_path: Path) -> None:
    data = _darknet(tmp_path, {"a": "0 .5 .5 .2 .2\n", "bad": "0 .5 .5 .2\n", "gone": "", "b": ""})
    (tmp_path / "images" / "gone.png").unlink()
    found = load_darknet(data)
    assert len(found.training) == 1
    assert [("line 1" in line, "gone.png" in line) for line in found.left_out] == [(True, False), (False, True)]


def test_darknet_without_a_list_says_so(tmp_path: Path) -> None:
    (tmp_path / "x.data").write_text("names = x.names\n")
    with pytest.raises(SourceError, match="found no `train`"):
        load_darknet(tmp_path / "x.data")


@given(st.text(max_size=60) | st.lists(st.floats(), min_size=5, max_size=5).map(lambda row: " ".join(map(str, row))))
def test_any_line_is_a_face_or_a_source_error(line: str) -> None:
    with suppress(SourceError):
        face = parse_face(line, (0, 3), "line 1")
        assert face.label in (UNLABELLED, 0, 3)
        assert np.isfinite(face.box).all()


def test_boxes_of_no_file_say_so(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"a\.txt"):
        read_boxes(tmp_path / "a.txt", (0,))


def _expw(folder: Path, lines: list[str]) -> Path:
    for number in range(60):
        _picture(folder / "image" / f"{number}.jpg")
    (folder / "label.lst").write_text("\n".join(lines) + "\n")
    return folder / "label.lst"


def test_expw_keeps_sure_faces_and_ignores_others(tmp_path: Path) -> None:
    lines = [f"{number}.jpg 0 2 4 30 18 {60 if number % 2 else 50} 3" for number in range(60)]
    found = load_expw(_expw(tmp_path, [*lines, "1.jpg 1 0 0 9 9 99 5"]))
    splits = [found.training, found.validation, found.test]
    assert all(pictures is not None and len(pictures) for pictures in splits)
    assert sum(len(pictures) for pictures in splits if pictures is not None) == 60
    faces = [face.label for pictures in splits for listed in pictures.faces for face in listed]  # type: ignore[union-attr]
    assert (faces.count(HAPPINESS), faces.count(UNLABELLED), faces.count(SADNESS)) == (30, 30, 0)
    assert faces.count(LABELS.index("surprise")) == 1
    # top left right bottom in the file
    assert found.training[0].boxes[0].tolist() == [4, 2, 30, 18]


def test_expw_bad_lines_and_missing_pictures_are_told(tmp_path: Path) -> None:
    lines = [f"{number}.jpg 0 2 4 30 18 60 3" for number in range(60)]
    found = load_expw(_expw(tmp_path, [*lines, "x.jpg 0 2 4 30 18 60 3", "1.jpg 0 2 4", "1.jpg 0 9 9 3 2 60 3"]))
    assert len(found.left_out) == 3
    assert any("x.jpg" in line for line in found.left_out)
    assert sum("line 6" in line for line in found.left_out) == 2


class _Detector:
    """Finds two faces in wide pictures and one in others."""

    def find(self, image: Image, *, landmarks: bool = True) -> tuple[Face, ...]:
        marks = Landmarks(*(Point(0, 0),) * 5)
        boxes = [Box(40, 2, 30, 40), Box(-4, 2, 24, 40)] if image.shape[1] > 100 else [Box(10, 5, 20, 30)]
        return tuple(Face(box, 0.99, marks) for box in boxes)

    def close(self) -> None:
        pass


_HEADER = "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise\n"


def _videos(folder: Path, monkeypatch: pytest.MonkeyPatch, annotations: dict[str, str]) -> None:
    """Annotations, and videos of six frames that are not decoded."""
    for name, lines in annotations.items():
        path = folder / "EXPR" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_HEADER + lines)
        stem = path.stem.removesuffix("_left").removesuffix("_right")
        (folder / f"{stem}.mp4").write_bytes(b"")

    class Film:
        def __init__(self, path: Path) -> None:
            self._image = np.zeros((60, 120 if "two" in path.stem else 80, 3), np.uint8)
            self._left = 6

        def read(self) -> SimpleNamespace | None:
            self._left -= 1
            return SimpleNamespace(image=self._image) if self._left >= 0 else None

        def close(self) -> None:
            pass

    monkeypatch.setattr(affwild2, "Video", Film)


def test_affwild2_becomes_a_darknet_folder_split_by_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "4\n-1\n1\n0\n4\n5\n"
    _videos(tmp_path / "in", monkeypatch, {"Train_Set/1": lines, "Validation_Set/2": "5\n" * 6})
    result = convert(tmp_path / "in", tmp_path / "out", _Detector(), every=2)  # type: ignore[arg-type]
    assert result.pictures == {"train": 3, "valid": 3}
    found = load_darknet(tmp_path / "out" / "affwild2.data")
    labels = [int(found.training[number].labels[0]) for number in range(3)]
    assert labels == [HAPPINESS, ANGER, HAPPINESS]
    assert [int(found.validation[number].labels[0]) for number in range(3)] == [SADNESS] * 3
    assert found.training[0].boxes[0].tolist() == pytest.approx([10, 5, 30, 35], abs=0.1)


def test_affwild2_two_people_have_two_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _videos(
        tmp_path / "in",
        monkeypatch,
        {"Train_Set/two_left": "4\n" * 6, "Train_Set/two_right": "1\n" * 6, "Validation_Set/two3": "1\n" * 6},
    )
    convert(tmp_path / "in", tmp_path / "out", _Detector(), every=3)  # type: ignore[arg-type]
    found = load_darknet(tmp_path / "out" / "affwild2.data")
    assert found.training[0].labels.tolist() == [HAPPINESS, ANGER]
    # One file, two faces: nobody knows whose it is.
    assert found.validation[0].labels.tolist() == [UNLABELLED, UNLABELLED]


def test_affwild2_a_video_of_both_splits_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _videos(tmp_path / "in", monkeypatch, {"Train_Set/1_left": "4\n", "Validation_Set/1_right": "4\n"})
    with pytest.raises(SourceError, match="found 1 in both"):
        convert(tmp_path / "in", tmp_path / "out", _Detector(), every=1)  # type: ignore[arg-type]


def test_affwild2_writes_into_no_other_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="empty folder"):
        convert(tmp_path, tmp_path, _Detector(), every=1)  # type: ignore[arg-type]


@pytest.mark.parametrize(("text", "found"), [("8\n", "'8'"), ("x\n", "'x'"), ("-2\n", "'-2'")])
def test_affwild2_a_line_that_is_no_label_is_told(tmp_path: Path, text: str, found: str) -> None:
    (tmp_path / "a.txt").write_text(_HEADER + "1\n" + text)
    with pytest.raises(SourceError, match=rf"line 3, found {found}"):
        read_annotations(tmp_path / "a.txt")

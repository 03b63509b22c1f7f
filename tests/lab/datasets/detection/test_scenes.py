"""Scenes: the same by seed and number, of one split alone, with true boxes and no square edges."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from edge_fer.errors import SourceError
from edge_fer.lab.datasets.dataset import Dataset, Split, hard
from edge_fer.lab.datasets.detection import scene_set
from edge_fer.lab.datasets.detection.backgrounds import PHOTOGRAPHS, Backgrounds, make_backgrounds, own_photographs
from edge_fer.lab.datasets.detection.face_boxes import find_boxes, load_boxes, save_boxes, usual_boxes
from edge_fer.lab.datasets.detection.heads import draw_head
from edge_fer.lab.datasets.detection.pictures import UNLABELLED
from edge_fer.lab.datasets.detection.scene_set import SceneSource, open_scenes
from edge_fer.lab.datasets.detection.scenes import ScenePlan, Scenes
from edge_fer.types import Box, Face, Image, Landmarks, Point

_PLAIN = ScenePlan(unlabelled=0, empty=0, most_negatives=0, faults=False)


@pytest.fixture(scope="module")
def backgrounds() -> Backgrounds:
    return make_backgrounds(Split.TRAINING, count=5)


def _faces(count: int = 14, value: int | None = None) -> Dataset:
    """Crops of noise, or all of one grey value."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 48, 48), np.uint8)
    if value is not None:
        images[:] = value
    return hard("noise", images, np.arange(count) % 7, np.arange(count).astype(np.uint8) % 3, {})


def _scenes(backgrounds: Backgrounds, plan: ScenePlan = _PLAIN, seed: int = 0, side: int = 128) -> Scenes:
    faces = _faces()
    return Scenes(faces, usual_boxes(len(faces)), backgrounds, 50, side, seed, plan)


def test_a_scene_follows_from_its_seed_and_number(backgrounds: Backgrounds) -> None:
    one, other = _scenes(backgrounds, ScenePlan()), _scenes(backgrounds, ScenePlan())
    assert all((one[number].image == other[number].image).all() for number in (0, 7))
    assert not (one[0].image == one[1].image).all()
    assert not (one[0].image == _scenes(backgrounds, ScenePlan(), seed=1)[0].image).all()


def test_boxes_are_inside_and_labels_are_those_of_the_faces(backgrounds: Backgrounds) -> None:
    found = [_scenes(backgrounds)[number] for number in range(20)]
    assert all(picture.image.shape == (128, 128, 3) and picture.image.dtype == np.uint8 for picture in found)
    for picture in found:
        assert 1 <= len(picture.boxes) <= _PLAIN.most_faces
        assert (picture.boxes >= 0).all()
        assert (picture.boxes <= 128).all()
        assert (picture.boxes[:, 2:] > picture.boxes[:, :2]).all()
        labelled = picture.labels != UNLABELLED
        assert (picture.targets.argmax(axis=1) == picture.labels)[labelled].all()
        assert not picture.targets[~labelled].any()
    assert {len(picture.boxes) for picture in found} > {1, 4}


def test_some_faces_have_no_label_and_some_scenes_no_face(backgrounds: Backgrounds) -> None:
    unlabelled = _scenes(backgrounds, ScenePlan(unlabelled=1, empty=0))
    assert all((unlabelled[number].labels == UNLABELLED).all() for number in range(5))
    empty = _scenes(backgrounds, ScenePlan(empty=1))
    assert not any(len(empty[number].boxes) for number in range(5))


def test_rare_expressions_are_drawn_more_often() -> None:
    labels = np.array([3] * 90 + [1] * 10)
    faces = hard("rare", np.zeros((100, 48, 48), np.uint8), labels, np.zeros(100, np.uint8), {})
    wall = make_backgrounds(Split.TRAINING, count=1)
    shares = []
    for balance in (0.0, 1.0):
        plan = ScenePlan(balance=balance, unlabelled=0, empty=0, faults=False)
        scenes = Scenes(faces, usual_boxes(100), wall, 30, 64, 0, plan)
        drawn = np.concatenate([scenes[number].labels for number in range(30)])
        shares.append((drawn == 1).sum() / (drawn >= 0).sum())
    assert shares[0] < 0.2
    assert 0.35 < shares[1] < 0.65


def test_a_box_moves_with_a_turned_and_mirrored_head_but_does_not_turn(backgrounds: Backgrounds) -> None:
    faces = _faces()
    box = np.tile(np.array([0.5, 0.0, 1.0, 0.5], np.float32), (len(faces), 1))  # the upper right quarter of a crop
    plan = ScenePlan(most_faces=1, smallest=40, largest=41, degrees=20, most_negatives=0, empty=0, faults=False)
    scenes = Scenes(faces, box, backgrounds, 50, 256, 0, plan)
    middles = []
    for number in range(20):
        (found,) = scenes[number].boxes.tolist() or [[0, 0, 0, 0]]
        if found[0] > 1 and found[2] < 255 and found[1] > 1 and found[3] < 255:
            assert (found[2] - found[0], found[3] - found[1]) == pytest.approx((20, 20), abs=1)
            middles.append(found)
    assert len(middles) > 5


def test_a_crop_leaves_no_edge_in_a_head() -> None:
    """A white crop in front of nothing: opacity fades to none before the sides and corners of the crop."""
    head = draw_head(np.full((48, 48), 255, np.uint8), 40, 128.0, np.random.default_rng(0))
    opacity = head.picture[..., 3].astype(int)
    assert not opacity[0].any()
    assert not opacity[:, 0].any()
    margin = len(opacity) // 6
    assert opacity[margin, margin] < 40  # the crop's corner
    assert opacity[len(opacity) // 2, len(opacity) // 2] == 255
    assert abs(np.diff(opacity, axis=0)).max() < 128


def test_a_hidden_face_is_no_positive(backgrounds: Backgrounds) -> None:
    """Whatever is labelled shows at least two fifths of its ellipse: bodies and nearer heads are in front of others."""
    crowd = ScenePlan(most_faces=6, smallest=60, largest=120, most_negatives=0, empty=0, unlabelled=0, faults=False)
    scenes = _scenes(backgrounds, crowd, side=256)
    labels = np.concatenate([scenes[number].labels for number in range(30)])
    assert 0.02 < (labels == UNLABELLED).mean() < 0.6


def test_splits_share_no_photographs() -> None:
    names = [name for split in Split for name in PHOTOGRAPHS[split]]
    assert len(set(names)) == len(names)


def test_photographs_of_a_folder_are_split_by_name(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / f"{number}.png").touch()
    training, validation = (own_photographs(tmp_path, split) for split in (Split.TRAINING, Split.VALIDATION))
    assert (len(training), len(validation)) == (8, 2)
    assert not set(training) & set(validation)


def test_the_set_keeps_splits_apart_and_never_reads_test_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    faces = _faces(21)

    class Watched:
        def __len__(self) -> int:
            return len(faces.images)

        def __getitem__(self, index: int, /) -> Image:
            read.append(index)
            return faces.images[index]

    monkeypatch.setattr(scene_set, "_photographs", lambda *_: [])
    monkeypatch.setattr(scene_set, "make_backgrounds", lambda split, _: make_backgrounds(split, count=2))
    watched = Dataset("watched", Watched(), faces.labels, faces.targets, faces.splits, faces.second)
    found = open_scenes(watched, SceneSource(side=64))
    for pictures, split in ((found.training, Split.TRAINING), (found.validation, Split.VALIDATION)):
        read.clear()
        assert sum(len(pictures[number].boxes) for number in range(6))
        assert {int(faces.splits[index]) for index in read} == {int(split)}


class _Detector:
    """Finds a face in the middle of bright crops."""

    def find(self, image: Image, *, landmarks: bool = True) -> tuple[Face, ...]:
        if image[120, 120].max() < 128:
            return ()
        return (Face(Box(72, 60, 96, 126), 0.99, Landmarks(*(Point(0, 0),) * 5)),)

    def close(self) -> None:
        pass


def test_boxes_are_found_once_and_kept(tmp_path: Path) -> None:
    bright, dark = _faces(6, 200), _faces(6, 20)
    boxes = find_boxes(bright, _Detector())  # type: ignore[arg-type]
    test = bright.splits == Split.TEST
    assert np.isnan(boxes[test]).all()
    assert boxes[~test][0].tolist() == pytest.approx([0.1, 0.0, 0.9, 1.05])
    assert np.isnan(find_boxes(dark, _Detector())).all()  # type: ignore[arg-type]
    save_boxes(tmp_path / "boxes.npz", bright, boxes)
    loaded = load_boxes(tmp_path / "boxes.npz", bright)
    assert np.isfinite(loaded).all()
    assert (loaded[~test] == boxes[~test]).all()
    assert (loaded[test] == usual_boxes(1)).all()
    boxes[0] = (-0.4, -0.4, 1.4, 1.4)  # of something else than the face
    save_boxes(tmp_path / "boxes.npz", bright, boxes)
    assert (load_boxes(tmp_path / "boxes.npz", bright)[0] == usual_boxes(1)).all()
    with pytest.raises(SourceError, match="those of other faces"):
        load_boxes(tmp_path / "boxes.npz", dark)
    (tmp_path / "boxes.npz").write_bytes(b"no archive")
    with pytest.raises(SourceError, match="face-boxes"):
        load_boxes(tmp_path / "boxes.npz", bright)


def test_the_mean_of_a_face_comes_towards_the_light_around() -> None:
    crop = np.full((48, 48), 120, np.uint8)
    rng = np.random.default_rng
    dark, light = (np.mean([draw_head(crop, 40, value, rng(seed)).skin for seed in range(20)]) for value in (30, 230))
    assert dark < light - 20
    assert math.isfinite(dark)

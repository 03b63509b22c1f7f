"""The renderer: geometry, determinism, and what the scenes promise."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fer.errors import SourceError
from edge_fer.synthetic.portraits import Course, Head, Pose, Scene, face_box, load_heads, transform
from edge_fer.synthetic.scenes import FPS, crowd_scene, sample_scene
from edge_fer.types import Box

STILL = Pose(0, 0, 0, 0)
ANY_RHYTHM = Pose(100, 100, 100, 100)
poses = st.builds(
    Pose,
    x=st.floats(150, 490),
    y=st.floats(150, 210),
    height=st.floats(60, 220),
    angle=st.floats(-20, 20),
)


def standing(pose: Pose) -> Course:
    return Course(pose, STILL, ANY_RHYTHM, STILL)


def scene(*cast: tuple[Head, Pose]) -> Scene:
    wall = np.zeros((360, 640, 3), np.uint8)
    return Scene(wall, tuple((head, standing(pose)) for head, pose in cast), frames=1)


def dotted_head(at: tuple[float, float]) -> Head:
    """A black head with one white dot, `at` heights from the centre of the face box."""
    image = np.zeros((401, 401, 4), np.uint8)
    image[..., 3] = 255
    centre = (round((200 + at[0] * 200) * 16), round((200 + at[1] * 200) * 16))
    cv2.circle(image, centre, 12 * 16, (255, 255, 255, 255), -1, cv2.LINE_AA, shift=4)
    return Head("dot", "nobody", (image,), 200, 0.75, np.array([at] * 5), (0, 0, 0.5, 0.7))


@given(pose=poses, at=st.tuples(st.floats(-0.4, 0.4), st.floats(-0.4, 0.4)))
def test_a_point_is_drawn_where_the_truth_says(pose: Pose, at: tuple[float, float]) -> None:
    drawn = scene((dotted_head(at), pose))
    rows, columns = np.nonzero(drawn.render(0)[..., 0] > 127)
    (face,) = drawn.truth(0)
    assert abs(columns.mean() - face.landmarks.nose.x) < 0.6
    assert abs(rows.mean() - face.landmarks.nose.y) < 0.6


@given(pose=poses, head=st.sampled_from(load_heads()))
def test_the_eye_line_has_the_angle_of_the_pose(pose: Pose, head: Head) -> None:
    (face,) = scene((head, pose)).truth(0)
    left, right = face.landmarks.left_eye, face.landmarks.right_eye
    assert math.degrees(math.atan2(right.y - left.y, right.x - left.x)) == pytest.approx(pose.angle, abs=1e-6)
    assert face.angle == pose.angle
    assert left.x < right.x


@given(pose=poses, head=st.sampled_from(load_heads()))
def test_landmarks_turned_back_are_those_of_the_portrait(pose: Pose, head: Head) -> None:
    drawn = transform(head.landmarks, pose) - (pose.x, pose.y)
    turn = math.radians(-pose.angle)
    back = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    np.testing.assert_allclose(drawn @ back.T / pose.height, head.landmarks, atol=1e-9)


@given(pose=poses, head=st.sampled_from(load_heads()))
def test_the_box_is_centred_and_holds_the_landmarks(pose: Pose, head: Head) -> None:
    box = face_box(head, pose)
    assert (box.x + box.width / 2, box.y + box.height / 2) == pytest.approx((pose.x, pose.y))
    assert box.height == pytest.approx(pose.height)
    points = transform(head.landmarks, pose)
    assert np.all(points > (box.x - 0.1 * box.width, box.y))
    assert np.all(points < (box.x + 1.1 * box.width, box.y + box.height))


def test_a_face_is_visible_only_when_wholly_in_view() -> None:
    head = load_heads()[0]
    half = head.width * 50
    for x, visible in [(half + 0.1, True), (half - 0.1, False), (639.9 - half, True), (640.1 - half, False)]:
        assert [face.visible for face in scene((head, Pose(x, 180, 100, 0))).truth(0)] == [visible]
    for y, visible in [(50.1, True), (49.9, False), (309.9, True), (310.1, False)]:
        assert [face.visible for face in scene((head, Pose(320, y, 100, 0))).truth(0)] == [visible]


def test_a_face_out_of_view_is_not_in_the_truth() -> None:
    assert scene((load_heads()[0], Pose(-100, 180, 100, 0))).truth(0) == ()


def test_the_nearer_head_hides_the_farther_face() -> None:
    far, near = load_heads()[:2]
    faces = scene((far, Pose(300, 180, 100, 0)), (near, Pose(360, 180, 100, 0))).truth(0)
    assert [(face.entry, face.visible) for face in faces] == [(0, False), (1, True)]
    apart = scene((far, Pose(200, 180, 100, 0)), (near, Pose(440, 180, 100, 0))).truth(0)
    assert [face.visible for face in apart] == [True, True]


def test_a_face_comes_from_its_side_and_leaves_to_it() -> None:
    scene_ = sample_scene(3)
    _, course = scene_.cast[1]
    far, home = course.pose(int(course.arrives) - 50), course.pose(int(course.arrives))
    moved = (far.x - home.x) * course.comes_from.x + (far.y - home.y) * course.comes_from.y
    assert moved == pytest.approx(50 * course.speed, abs=60)


@pytest.mark.parametrize("size", [(640, 360), (600, 600)])
@pytest.mark.parametrize("seed", [7, 8])
def test_parts_hold_what_they_say(seed: int, size: tuple[int, int]) -> None:
    sample = sample_scene(seed, size=size)
    assert [part.name for part in sample.parts] == ["one face", "nobody", "three faces"]
    for part in sample.parts:
        visible = {sum(face.visible for face in sample.truth(index)) for index in range(part.first, part.end)}
        assert visible == {part.faces}
    one, nobody, _ = sample.parts
    assert one.end - one.first >= 4 * FPS
    assert nobody.end - nobody.first >= FPS
    assert all(sample.truth(index) == () for index in range(nobody.first, nobody.end))


@pytest.mark.parametrize("seed", [7, 8])
def test_faces_move_smoothly_and_keep_to_the_promised_sizes(seed: int) -> None:
    sample = sample_scene(seed)
    assert 12 * FPS <= sample.frames <= 16 * FPS
    before: dict[int, Box] = {}
    for index in range(sample.frames):
        faces = {face.entry: face for face in sample.truth(index)}
        for entry, face in faces.items():
            assert 60 <= face.box.height <= 220
            assert abs(face.angle) <= 20
            if entry in before:
                assert math.dist(face.box[:2], before[entry][:2]) < 25
        before = {entry: face.box for entry, face in faces.items()}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_a_long_scene_has_its_entries_and_each_comes_once(seed: int) -> None:
    long = sample_scene(seed, entries=30)
    seen = [{face.entry for face in long.truth(index)} for index in range(long.frames)]
    assert set.union(*seen) == set(range(30))
    for entry in range(30):
        inside = [index for index, entries in enumerate(seen) if entry in entries]
        assert inside == list(range(inside[0], inside[-1] + 1))


@pytest.mark.parametrize("size", [(640, 360), (600, 600)])
@pytest.mark.parametrize("faces", [0, 1, 4, 8, 16])
def test_a_crowd_stays_visible(faces: int, size: tuple[int, int]) -> None:
    crowd = crowd_scene(5, faces, frames=300, size=size)
    assert crowd.render(0).shape == (size[1], size[0], 3)
    for index in range(0, 300, 19):
        assert [face.visible for face in crowd.truth(index)] == [True] * faces
        assert all(face.box.height > 45 for face in crowd.truth(index))


def test_a_seed_makes_one_scene_and_another_seed_another() -> None:
    first, again, other = sample_scene(7), sample_scene(7), sample_scene(8)
    assert first.truth(100) == again.truth(100)
    np.testing.assert_array_equal(first.render(100), again.render(100))
    assert first.truth(100) != other.truth(100)
    assert np.any(first.render(100) != other.render(100))


def test_rendering_leaves_the_wall_as_it_was() -> None:
    sample = sample_scene(7)
    wall = sample.wall.copy()
    assert np.any(sample.render(0) != wall)
    np.testing.assert_array_equal(sample.wall, wall)


def test_missing_portraits_are_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"expected portraits\.json in .*, found: .*; install edge-fer again"):
        load_heads(tmp_path)
    portraits = {"portraits": [{"file": "gone.jpg"}]}
    (tmp_path / "portraits.json").write_text(json.dumps(portraits))
    with pytest.raises(SourceError, match=r"expected a portrait, found none at .*gone\.jpg"):
        load_heads(tmp_path)

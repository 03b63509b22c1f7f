"""Which faces are cut out, and what is known of the pictures of the others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_fer.common.picture import enlarge
from edge_fer.faces.align import sample
from edge_fer.faces.aligner import Aligner
from edge_fer.faces.quality import measure_quality
from edge_fer.inference.manifest_parts import CropSpec
from edge_fer.synthetic.scenes import crowd_scene
from edge_fer.types import Expression, Face, Frame, Image, Track
from tests.support.records import face_at, landmarks_at

CROP, SIZE = CropSpec(eye_distance=0.33, eye_y=0.37, detail=80), 160
READ = Expression((1.0,) + (0.0,) * 6)


@pytest.fixture(scope="module")
def images() -> list[Image]:
    scene = crowd_scene(seed=3, faces=1, frames=3)
    return [scene.render(index) for index in range(3)]


def frame(number: int, image: Image) -> Frame:
    return Frame(number, image, number * 10, 0.0, number * 20)


def seen(face: Face, expression: Expression | None = READ, lag_ns: int = 0, angle: float = 0.0) -> Track:
    landmarks = landmarks_at(300, 200, 40, angle)
    return Track(7, replace(face, landmarks=landmarks, expression=expression, landmarks_lag_ns=lag_ns))


@pytest.fixture
def face() -> Face:
    return face_at(250, 150, 100)


@pytest.mark.parametrize("expression", [READ, None])
def test_for_a_classifier_every_face_of_every_frame_is_cut_out(
    images: list[Image], face: Face, expression: Expression | None
) -> None:
    aligner = Aligner(CROP, SIZE)
    for number, image in enumerate(images):
        track = seen(face, expression, angle=number)
        aligned = aligner.align(image, track, frame(number, image))
        sampled = sample(image, track.face.landmarks, CROP, SIZE)
        np.testing.assert_array_equal(aligned.sampled, sampled)
        np.testing.assert_array_equal(aligned.image, enlarge(sampled, SIZE))
        assert aligned.quality == measure_quality(enlarge(sampled, SIZE), track.face)
        assert (aligned.track, aligned.frame, aligned.captured_ns, aligned.scene_ns) == (
            track, number, number * 10, number * 20,
        )  # fmt: skip


def test_a_face_that_was_read_is_cut_out_in_its_turn_and_keeps_its_quality_between(
    images: list[Image], face: Face
) -> None:
    aligner = Aligner(CROP, SIZE, sparing=True)
    first = aligner.align(images[0], seen(face), frame(0, images[0]))
    moved = seen(face, lag_ns=5, angle=20)
    kept = aligner.align(images[1], moved, frame(1, images[1]))
    assert kept == replace(first, track=moved, frame=1, captured_ns=10, scene_ns=20)
    turn = aligner.align(images[2], seen(face, angle=20), frame(2, images[2]))
    assert turn.quality == Aligner(CROP, SIZE).align(images[2], seen(face, angle=20), frame(2, images[2])).quality
    assert turn.quality.blur != first.quality.blur


def test_a_face_that_was_followed_has_the_pose_of_its_frame_and_the_blur_of_what_was_read(
    images: list[Image], face: Face
) -> None:
    aligner = Aligner(CROP, SIZE, sparing=True)
    first = aligner.align(images[0], seen(face), frame(0, images[0]))
    followed = aligner.align(images[1], seen(face, None, angle=20), frame(1, images[1]))
    assert followed.quality.blur == first.quality.blur
    assert (first.quality.roll, followed.quality.roll) == pytest.approx((0, 20))


def test_a_face_that_was_never_cut_out_is_in_any_case(images: list[Image], face: Face) -> None:
    aligner = Aligner(CROP, SIZE, sparing=True)
    track = seen(face, None)
    first = aligner.align(images[0], track, frame(0, images[0]))
    assert first.quality.blur > 0
    aligner.keep({8})
    again = aligner.align(images[1], track, frame(1, images[1]))
    assert again.quality == Aligner(CROP, SIZE).align(images[1], track, frame(1, images[1])).quality

"""No face may be clear in a picture that leaves a run; judged by a detector with other sizes and scales."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_fer.capture.sources.sample import CLIP
from edge_fer.faces.detectors import Detector, open_detector
from edge_fer.inference.model_store import ModelStore
from edge_fer.publish.drawing.blur import head_of
from edge_fer.publish.drawing.face_hider import FaceHider, Hider, ShowAll, open_hider
from edge_fer.publish.recording import Recording
from edge_fer.settings import DetectSettings, PrivacySettings, PublishSettings, Settings, load_settings
from edge_fer.types import Box, Face, Image
from tests.publish.recording import films
from tests.support.records import face_at, make_face_reading, make_reading

BLUR = load_settings(
    environment={}, flags={"privacy.blur_faces": True, "detect.max_faces": 4, "detect.precision": "float32"}
)
NOISE = np.random.default_rng(0).integers(0, 255, (360, 640, 3), dtype=np.uint8)
FRAME_NS = 33_000_000


@cache
def judge() -> Detector:
    """Finds smaller and more faces than a run does, at other scales, in larger pictures."""
    settings = DetectSettings(size=720, min_face=24, factor=0.79, max_faces=1000, precision="float32")
    return open_detector(settings, ModelStore())


class Scripted:
    """A detector that finds what it is told, picture by picture.

    Attributes:
        closed: whether it was closed.
        sizes: of the pictures that it has seen.
    """

    def __init__(self, *finds: tuple[Face, ...]) -> None:
        self.closed = False
        self.sizes: list[tuple[int, ...]] = []
        self._finds = iter(finds)

    def find(self, image: Image, *, landmarks: bool = True) -> tuple[Face, ...]:
        self.sizes.append(image.shape[:2])
        return next(self._finds, ())

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> Scripted:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def passed(hider: Hider, pictures: Iterable[Image], step_ns: int = FRAME_NS) -> Iterator[Image]:
    """What comes out of a hider, all of it."""
    for number, picture in enumerate(pictures):
        for shown, _ in hider.add(picture, make_reading(number, captured_ns=number * step_ns)):
            yield shown
    for shown, _ in hider.flush():
        yield shown


def is_hidden(picture: Image, box: Box, of: Image = NOISE) -> bool:
    """Whether a head was replaced; the noise of the test pictures is flat then."""
    left, top, right, bottom = head_of(box, picture)
    return bool(np.std(picture[top:bottom, left:right]) < np.std(of[top:bottom, left:right]) / 2)


def frames(step: int = 1) -> Iterator[Image]:
    """Every so many frames of the sample."""
    video, number = cv2.VideoCapture(str(CLIP)), 0
    while (read := video.read())[0]:
        if number % step == 0:
            yield np.asarray(read[1], np.uint8)
        number += 1
    video.release()


def crowd(columns: int = 7, rows: int = 4, side: int = 90) -> Image:
    """More heads than `max_faces`, next to each other."""
    frame = next(frames())
    (face,) = judge().find(frame)
    left, top, right, bottom = head_of(face.box, frame)
    head = cv2.resize(frame[top:bottom, left:right], (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(np.tile(head, (rows, columns, 1)), np.uint8)


def clear_faces(pictures: Iterable[Image]) -> int:
    """How many faces the judge finds."""
    return sum(len(judge().find(picture)) for picture in pictures)


def test_in_a_crowd_no_face_is_clear() -> None:
    picture = crowd()
    assert clear_faces([picture]) >= 20, "the judge can see"
    with open_hider(BLUR) as hider:  # type: ignore[attr-defined]
        assert clear_faces(passed(hider, [picture])) == 0


def test_in_some_of_the_sample_no_face_is_clear() -> None:
    some = [frame for number, frame in enumerate(frames()) if 217 <= number < 222]
    assert clear_faces(some) > 0, "a face comes into view"
    with open_hider(BLUR) as hider:  # type: ignore[attr-defined]
        shown = list(passed(hider, some))
    assert len(shown) == len(some)
    assert clear_faces(shown) == 0


@pytest.mark.slow
@pytest.mark.parametrize("step", [3, 15])  # as it is seen live, and on a slow box
def test_in_the_sample_no_face_is_clear(step: int) -> None:
    with open_hider(BLUR) as hider:  # type: ignore[attr-defined]
        shown = list(passed(hider, frames(step), step * FRAME_NS))
    assert len(shown) == len(list(frames(step)))
    assert clear_faces(shown[:: 15 // step]) == 0


@pytest.mark.slow
@pytest.mark.shared
def test_in_a_film_with_cuts_and_dark_scenes_no_face_is_clear(shared: Path) -> None:
    video = cv2.VideoCapture(str(shared / "media" / "short_hamilton_clip.mp4"))
    film = [np.asarray(frame, np.uint8) for _, frame in iter(video.read, (False, None))][::3]
    with open_hider(BLUR) as hider:  # type: ignore[attr-defined]
        assert clear_faces(list(passed(hider, film, 3 * FRAME_NS))[::3]) == 0


def test_a_face_is_hidden_before_it_is_found_and_after() -> None:
    face = face_at(100, 50, 80)
    finds: list[tuple[Face, ...]] = [(), (), (face,), *[()] * 25]
    hider = FaceHider(BLUR, Scripted(*finds))
    shown = list(passed(hider, [NOISE] * len(finds)))
    assert len(shown) == len(finds)
    hidden = [is_hidden(picture, face.box) for picture in shown]
    assert hidden == [True] * (2 + 1 + 15) + [False] * (len(finds) - 18)


def test_a_picture_is_held_back_for_half_a_second_at_most() -> None:
    hider = FaceHider(BLUR, Scripted())
    came = [len(list(hider.add(NOISE, make_reading(captured_ns=ns)))) for ns in (0, 10**9, 2 * 10**9)]
    assert came == [0, 1, 1]


SLOPE = np.ascontiguousarray(np.broadcast_to(np.linspace(0, 255, 640, dtype=np.uint8)[None, :, None], NOISE.shape))


@pytest.mark.parametrize("other", [SLOPE, NOISE[:180, :320]], ids=["a cut", "another size"])
def test_what_is_hidden_ends_with_the_scene(other: Image) -> None:
    face = face_at(100, 50, 80)
    first, second = passed(FaceHider(BLUR, Scripted((face,), ())), [NOISE, other])
    assert is_hidden(first, face.box)
    assert second.shape == other.shape
    assert np.abs(second.astype(int) - other).mean() < 3, "as it was, but for the detail"


def test_faces_of_the_reading_are_hidden_too() -> None:
    hider = FaceHider(BLUR, Scripted())
    face = make_face_reading()
    list(hider.add(NOISE, make_reading(faces=(face,))))
    ((shown, _),) = hider.flush()
    assert is_hidden(shown, face.box)


def test_a_large_picture_keeps_its_size_and_loses_the_detail_that_was_not_searched() -> None:
    large = np.random.default_rng(0).integers(0, 255, (1080, 1920, 3), dtype=np.uint8)
    detector = Scripted((face_at(300, 100, 60),))
    (shown,) = passed(FaceHider(BLUR, detector), [large])
    assert detector.sizes == [(338, 600)]
    assert shown.shape == large.shape
    assert np.std(shown) < np.std(large) / 2
    assert is_hidden(shown, Box(960, 320, 192, 192), cv2.resize(cv2.resize(large, (600, 338)), (1920, 1080)))


def test_a_camera_that_banks_is_searched_at_several_angles() -> None:
    settings = BLUR.model_copy(update={"detect": BLUR.detect.model_copy(update={"roll": "mavlink"})})
    detector = Scripted()
    list(passed(FaceHider(settings, detector), [NOISE]))
    assert len(detector.sizes) == 3


def test_without_the_setting_pictures_pass_as_they_are() -> None:
    hider = open_hider(Settings(privacy=PrivacySettings(blur_faces=False)))
    assert isinstance(hider, ShowAll)
    reading = make_reading()
    assert [*hider.add(NOISE, reading), *hider.flush()] == [(NOISE, reading)]
    hider.close()


def test_a_recording_hides_faces_in_all_its_pictures(tmp_path: Path) -> None:
    detector, face = Scripted((face_at(100, 50, 80),)), face_at(100, 50, 80)
    sink = Recording(PublishSettings(record=f"{tmp_path}/film.mkv"), hider=FaceHider(BLUR, detector))
    for number in range(8):
        sink.publish(make_reading(number, captured_ns=number * FRAME_NS), NOISE)
    sink.close()
    assert detector.closed
    written = [one.picture for one in films.shown(tmp_path / "film.mkv")]
    assert [is_hidden(picture, face.box) for picture in written] == [True] * 8

from __future__ import annotations

import numpy as np
import pytest

from edge_fer.faces.keyframes import Keyframes, shrink
from edge_fer.settings import KeyframeSettings
from edge_fer.types import Box, Image

MS = 1_000_000
FACE = Box(100, 100, 80, 80)
SETTINGS = KeyframeSettings(every_ms=1000, change_ms=60, change=12, lost_ms=300)


def picture(level: int = 90, noise: int = 0) -> Image:
    rng = np.random.default_rng(noise)
    return np.asarray(np.clip(rng.normal(level, 2, (360, 640, 3)), 0, 255), np.uint8)


def with_square(image: Image, x: int, y: int, side: int = 60, level: int = 200) -> Image:
    image = image.copy()
    image[y : y + side, x : x + side] = level
    return image


@pytest.fixture
def keyframes() -> Keyframes:
    """After a first search, with a face followed."""
    keyframes = Keyframes(SETTINGS)
    assert keyframes.search_reason(picture(), 0, [], None) == "cut"
    return keyframes


def test_the_first_frame_and_another_scene_are_cuts(keyframes: Keyframes) -> None:
    other = with_square(picture(), 0, 0, side=300)
    assert keyframes.search_reason(other, 10 * MS, [FACE], None) == "cut"
    assert keyframes.search_reason(other, 20 * MS, [FACE], None) is None


def test_another_size_is_a_cut(keyframes: Keyframes) -> None:
    assert keyframes.search_reason(picture()[:, :300], 10 * MS, [FACE], None) == "cut"
    assert keyframes.search_reason(picture()[::2, :300:2], 20 * MS, [FACE], None) == "cut"


def test_noise_is_no_reason_to_search(keyframes: Keyframes) -> None:
    assert [keyframes.search_reason(picture(noise=n), 33 * n * MS, [FACE], None) for n in range(1, 29)] == [None] * 28


def test_every_frame_without_a_face_is_searched(keyframes: Keyframes) -> None:
    assert [keyframes.search_reason(picture(noise=n), 33 * n * MS, [], None) for n in (1, 2)] == ["no face"] * 2


def test_time_passes(keyframes: Keyframes) -> None:
    assert keyframes.search_reason(picture(), 999 * MS, [FACE], None) is None
    assert keyframes.search_reason(picture(), 1000 * MS, [FACE], None) == "time"
    assert keyframes.search_reason(picture(), 1999 * MS, [FACE], None) is None


def test_aligned_searches_do_not_depend_on_where_reading_began() -> None:
    searched = []
    for begin_ms in (0, 2340):
        keyframes = Keyframes(SETTINGS.model_copy(update={"aligned": True}))
        times = range(begin_ms, 5000, 130)
        found = {at: keyframes.search_reason(picture(), at * MS, [FACE], None) for at in times}
        searched.append([at for at, reason in found.items() if reason is not None and at > begin_ms])
    assert searched[0] == [1040, 2080, 3120, 4030], "the first frame of each second"
    assert searched[1] == [3120, 4030]


def test_a_lost_face_is_searched_for_a_while(keyframes: Keyframes) -> None:
    assert keyframes.search_reason(picture(), 100 * MS, [FACE], 66 * MS) == "lost"
    assert keyframes.search_reason(picture(), 366 * MS, [FACE], 66 * MS) == "lost"
    assert keyframes.search_reason(picture(), 367 * MS, [FACE], 66 * MS) is None
    assert keyframes.search_reason(picture(), 400 * MS, [FACE], 366 * MS) == "lost", "another one"


def test_something_that_comes_into_view_is_searched_for_at_once(keyframes: Keyframes) -> None:
    assert keyframes.search_reason(with_square(picture(), 500, 200), 66 * MS, [FACE], None) == "change"
    assert keyframes.search_reason(with_square(picture(), 500, 200), 99 * MS, [FACE], None) is None


def test_changes_are_searched_for_only_so_often(keyframes: Keyframes) -> None:
    assert keyframes.search_reason(with_square(picture(), 500, 200), 59 * MS, [FACE], None) is None
    assert keyframes.search_reason(with_square(picture(), 500, 200), 60 * MS, [FACE], None) == "change"


def test_a_face_that_moves_in_its_own_place_is_no_change(keyframes: Keyframes) -> None:
    assert keyframes.search_reason(with_square(picture(), 110, 110, 60), 100 * MS, [FACE], None) is None


def test_a_face_beyond_the_edge_hides_nothing(keyframes: Keyframes) -> None:
    outside = Box(-500, -500, 80, 80)
    assert keyframes.search_reason(with_square(picture(), 0, 0), 100 * MS, [outside], None) == "change"


def test_the_light_going_down_is_no_change(keyframes: Keyframes) -> None:
    assert keyframes.search_reason(picture(40), 100 * MS, [FACE], None) is None


@pytest.mark.parametrize(
    ("width", "height", "shape"), [(640, 360, (27, 48)), (360, 640, (48, 27)), (10, 2000, (48, 1))]
)
def test_the_small_copy_keeps_the_proportions(width: int, height: int, shape: tuple[int, int]) -> None:
    small = shrink(np.full((height, width, 3), 77, np.uint8))
    assert small.shape == shape
    assert np.all(small == 77)


def test_changes_that_bring_no_face_are_searched_for_less_and_less(keyframes: Keyframes) -> None:
    """Something moves for two seconds, 10 ms a frame; then a second face is followed, and it starts anew."""
    moving = [with_square(picture(), 40 * (n % 12), 250) for n in range(200)]
    searched = [
        10 * n for n, image in enumerate(moving, 1) if keyframes.search_reason(image, 10 * n * MS, [FACE], None)
    ]
    pauses = np.diff([0, *searched])
    assert pauses[0] == 60
    assert pauses[1] >= 120
    assert (pauses[2:] >= 240).all()
    assert pauses.max() <= 300, "and still often enough"
    two = [FACE, Box(300, 20, 60, 60)]
    assert keyframes.search_reason(moving[3], 2000 * MS, two, None) == "change"
    assert 2000 - searched[-1] < 240, "which was too early for one face"


def test_nothing_counts_from_before_an_aligned_period() -> None:
    keyframes = Keyframes(SETTINGS.model_copy(update={"aligned": True}))
    begun = [at for at in range(0, 2500, 100) if _begins(keyframes, at)]
    assert begun == [1000, 2000]
    assert not Keyframes(SETTINGS).begins_period(5000 * MS)


def _begins(keyframes: Keyframes, at_ms: int) -> bool:
    begins = keyframes.begins_period(at_ms * MS)
    keyframes.search_reason(picture(), at_ms * MS, [FACE], None)
    return begins

"""Films of an archive: the same frames wherever reading begins, from files and from URLs."""

from __future__ import annotations

import io
from contextlib import closing
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.spec import AbstractFileSystem
from hypothesis import given
from hypothesis import strategies as st

from edge_fer.archive.film_reader import FilmReader
from edge_fer.archive.labelling import Taken, check_same, sampled
from edge_fer.archive.recordings import Recording
from edge_fer.archive.segments import WHOLE, cut
from edge_fer.capture.sources import SourceFrame
from edge_fer.errors import ConfigError, SourceError
from tests.archive.made import a_job
from tests.support.films import picture, write_film

FRAMES = 500


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """100 s of variable rate, a key frame every 12."""
    path = tmp_path_factory.mktemp("films") / "a.mkv"
    times = [number * 200 + (number % 3) * 40 for number in range(FRAMES)]
    write_film(path, [picture(number) for number in range(FRAMES)], times_ms=times)
    return Recording("a.mkv", str(path))


def read(recording: Recording, from_ns: int | None = None) -> list[SourceFrame]:
    with closing(FilmReader(recording, from_ns)) as reader:
        return list(iter(reader.read, None))


def test_segments_have_each_frame_once_and_know_its_number(film: Recording) -> None:
    whole = [frame.position_ns for frame in read(film)]
    assert len(whole) == FRAMES
    segments = cut(film, 30.0)
    assert [segment.start_ns // 10**9 for segment in segments] == [0, 30, 60, 90]
    own = list[tuple[int, int | None]]()
    for segment in segments:
        positions = [frame.position_ns or 0 for frame in read(film, segment.read_ns)]
        assert segment.number == 0 or segment.start_ns - positions[0] >= 10 * 10**9, "it warms up"
        numbered = enumerate(positions, segment.first_frame)
        own += [(n, at) for n, at in numbered if segment.start_ns <= at < (segment.end_ns or 10**18)]
    assert own == list(enumerate(whole))


def test_a_film_that_breaks_off_is_not_cut(film: Recording, tmp_path: Path) -> None:
    content = film.path.read_bytes()
    (tmp_path / "short.mkv").write_bytes(content[: len(content) * 3 // 4])
    short = Recording("short.mkv", str(tmp_path / "short.mkv"))
    assert cut(short, 20.0) == (WHOLE,)
    with closing(FilmReader(short)) as reader:
        assert len(list(iter(reader.read, None))) > FRAMES // 2
        assert reader.broken is not None


@pytest.mark.parametrize("content", [b"", b"no film", b"\xff\xd8\xff\xe0 a picture"], ids=["empty", "text", "picture"])
def test_what_is_no_film_is_told(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(SourceError, match=r"^expected .*a\.mp4, found "):
        FilmReader(Recording("a.mp4", str(tmp_path / "a.mp4")))


@given(
    st.lists(st.integers(1, 400), min_size=1, max_size=60),
    st.integers(1, 5),
    st.none() | st.floats(0.2, 50),
    st.integers(0, 59),
)
def test_the_same_frames_are_sampled_wherever_reading_begins(
    steps: list[int], every: int, fps: float | None, begin: int
) -> None:
    image = picture()
    frames = [Taken(n, SourceFrame(image, 0, sum(steps[:n]) * 10**6)) for n in range(len(steps))]
    job = a_job(Path("/out"), every=every if fps is None else 1, fps=fps)
    whole = [taken.number for taken in sampled(iter(frames), job)]
    later = [taken.number for taken in sampled(iter(frames[begin:]), job)]
    assert whole[0] == 0
    if fps is None:
        assert whole == list(range(0, len(steps), every))
    known = [number for number in whole if number >= begin]
    assert [number for number in later if number > begin + 1 or number in known][-len(known) :] == known or not known


class Dying(AbstractFileSystem):  # type: ignore[misc]
    """A place on the net that breaks off; `dying://` and the path of a film."""

    protocol = "dying"
    left = 10**9

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        return {"size": Path(path).stat().st_size, "ETag": "1"}

    def _open(self, path: str, mode: str = "rb", **_: Any) -> io.BytesIO:
        outer = self

        class Content(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                type(outer).left -= 1
                if outer.left < 0:
                    raise ConnectionError("the server closed the connection, key=secret")
                return super().read(size)

        return Content(Path(path).read_bytes())

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(path).removeprefix("dying://")


@pytest.fixture
def remote(film: Recording, monkeypatch: pytest.MonkeyPatch) -> Recording:
    """The same film behind a URL."""
    fsspec.register_implementation("dying", Dying, clobber=True)
    monkeypatch.setattr(Dying, "left", 10**9)
    return Recording("a.mkv", f"dying://{film.address}")


def test_a_film_behind_a_url_is_the_same(remote: Recording, film: Recording) -> None:
    assert [frame.position_ns for frame in read(remote)] == [frame.position_ns for frame in read(film)]
    assert remote.identity() == f"ETag 1, size {film.path.stat().st_size}"


def test_a_url_that_dies_half_way_is_no_end_of_the_film(remote: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(FilmReader(remote)) as reader:
        assert reader.read() is not None
        monkeypatch.setattr(Dying, "left", 1)
        with pytest.raises(
            SourceError, match=r"to its end, found: the server closed the connection.*; run the command"
        ):
            list(iter(reader.read, None))
    with pytest.raises(SourceError, match="the server closed the connection"):
        FilmReader(remote)


def test_a_url_of_a_kind_that_is_not_known_is_told() -> None:
    with pytest.raises(ConfigError, match=r"expected a URL that fsspec reads, found nonsense://a/b\.mp4: "):
        FilmReader(Recording("b.mp4", "nonsense://a/b.mp4"))


def test_a_recording_that_grows_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"1")
    recording = Recording("a.mp4", str(path))
    identity = recording.identity()
    check_same(recording, identity)
    path.write_bytes(b"22")
    with pytest.raises(SourceError, match=r"to stay as it was while it is read .1 bytes, .* found 2 bytes"):
        check_same(recording, identity)

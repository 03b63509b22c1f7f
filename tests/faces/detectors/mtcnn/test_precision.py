from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_fer.faces.detectors.mtcnn.precision import RUNS, cache_file, quicker
from edge_fer.inference.model_store import ModelStore

SHAPE = (1, 48, 48, 3)


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    content = ModelStore().load("mtcnn_onet", "output")  # the clock says which is the quicker one
    return dict.fromkeys(("mtcnn_onet", "mtcnn_onet_int8"), content)


def ticking(first: float, second: float) -> Callable[[], float]:
    """A clock on which two networks, asked in turn, take these times, whatever they really take."""

    def times() -> Iterator[float]:
        now = 0.0
        while True:
            for taken in (first, second):
                yield now
                now += taken
                yield now

    return times().__next__


def stopped() -> float:
    raise AssertionError("nothing should be measured")


@pytest.mark.parametrize(("first", "second", "expected"), [(1, 2, "mtcnn_onet"), (2, 1, "mtcnn_onet_int8")])
def test_the_quicker_one_is_taken(
    first: float, second: float, expected: str, files: dict[str, bytes], tmp_path: Path
) -> None:
    cache = tmp_path / "deep" / "quicker.json"
    assert quicker(files, SHAPE, cache=cache, clock=ticking(first, second)) == expected
    assert quicker(files, SHAPE, cache=cache, clock=stopped) == expected


def test_one_hindered_inference_decides_nothing(files: dict[str, bytes], tmp_path: Path) -> None:
    times = [1.0, 3.0] * (RUNS - 1) + [9.0, 3.0]
    moments = [0.0]
    for taken in [5.0, 1.0, *times]:  # the first of each warms up
        moments += [moments[-1] + taken, moments[-1] + taken]
    assert quicker(files, SHAPE, cache=tmp_path / "x.json", clock=iter(moments).__next__) == "mtcnn_onet"


def test_other_files_shapes_or_threads_are_measured_anew(files: dict[str, bytes], tmp_path: Path) -> None:
    cache = tmp_path / "quicker.json"
    quicker(files, SHAPE, cache=cache, clock=ticking(1, 2))
    assert quicker(files, (2, 48, 48, 3), cache=cache, clock=ticking(2, 1)) == "mtcnn_onet_int8"
    assert quicker(files, SHAPE, threads=2, cache=cache, clock=ticking(2, 1)) == "mtcnn_onet_int8"
    changed = {**files, "mtcnn_onet": files["mtcnn_onet"] + b"\0"}
    assert quicker(changed, SHAPE, cache=cache, clock=ticking(2, 1)) == "mtcnn_onet_int8"
    assert quicker(files, SHAPE, cache=cache, clock=stopped) == "mtcnn_onet"
    assert len(json.loads(cache.read_text())) == 4


@pytest.mark.parametrize("content", ["", "[1]", "no json", '{"x": 1}'])
def test_a_spoilt_cache_is_measured_over(content: str, files: dict[str, bytes], tmp_path: Path) -> None:
    cache = tmp_path / "quicker.json"
    cache.write_text(content)
    assert quicker(files, SHAPE, cache=cache, clock=ticking(1, 2)) == "mtcnn_onet"
    assert quicker(files, SHAPE, cache=cache, clock=stopped) == "mtcnn_onet"


def test_a_cache_that_cannot_be_written_is_no_error(
    files: dict[str, bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    with caplog.at_level(logging.DEBUG, "edge_fer.faces.detectors.mtcnn.precision"):
        assert quicker(files, SHAPE, cache=tmp_path / "file" / "x.json", clock=ticking(2, 1)) == "mtcnn_onet_int8"
    assert "not kept" in caplog.text
    assert all(record.levelno == logging.DEBUG for record in caplog.records)


def test_the_cache_is_where_the_user_keeps_caches(tmp_path: Path) -> None:
    assert cache_file({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "edge-fer" / "quicker.json"
    assert cache_file({}).parts[-3:] == (".cache", "edge-fer", "quicker.json")

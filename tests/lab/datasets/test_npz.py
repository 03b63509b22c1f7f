"""Arrays from .npz files: whole ones are read, and of others one line says what is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_fer.errors import SourceError
from edge_fer.lab.datasets.npz import read_npz


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "faces.npz"
    np.savez_compressed(path, x=np.arange(5000), usage=np.arange(3))
    return path


def test_what_is_asked_for_is_read(path: Path) -> None:
    arrays = read_npz(path, "faces", ("x",), ("usage", "fer2013"))
    assert sorted(arrays) == ["usage", "x"]
    np.testing.assert_array_equal(arrays["x"], np.arange(5000))


@pytest.mark.parametrize("content", [b"", b"a text\n", b"PK\x03\x04 broken", b"\x93NUMPY"])
def test_another_kind_of_file_is_told_without_a_word_on_pickles(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"^expected faces in .*faces\.npz, found a file that is no \.npz archive"):
        read_npz(path, "faces", ("x",))


def test_a_damaged_file_is_told(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[200:400] = b"?" * 200
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"found a damaged file \(.*\); get it again$"):
        read_npz(path, "faces", ("x",))


def test_objects_are_not_unpickled(path: Path) -> None:
    np.savez(path, x=np.array([{}], dtype=object))
    with pytest.raises(SourceError, match="found a damaged file"):
        read_npz(path, "faces", ("x",))


def test_a_missing_array_is_named_with_those_that_are_there(path: Path) -> None:
    with pytest.raises(SourceError, match=r"found no array `votes` \(there is: x, usage\); check the path$"):
        read_npz(path, "faces", ("x", "votes"))


def test_a_missing_file_and_a_folder_are_told(path: Path) -> None:
    with pytest.raises(SourceError, match=r"expected faces at .*, found: Is a directory; check the path$"):
        read_npz(path.parent, "faces", ("x",))
    with pytest.raises(SourceError, match=r"found: No such file or directory; check the path$"):
        read_npz(path.with_name("none.npz"), "faces", ("x",))

"""Where the extra `lab` is not installed, the lab's tests are left out: most of their modules cannot be imported."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

collect_ignore_glob = [] if find_spec("litert_torch") else ["*/test_*.py"]


@pytest.fixture(scope="module", autouse=True)
def leftovers_are_told_where_they_were_left() -> Iterator[None]:
    """A file that a test did not close is an error of its module, not of whichever test the collector runs in."""
    yield
    gc.collect()

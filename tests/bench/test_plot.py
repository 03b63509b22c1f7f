"""What can be known of a plot without the library that draws it; `lab/test_bench_plot.py` draws."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edge_fer.bench.plot import check_plot, plot
from edge_fer.errors import ConfigError
from tests.support.bench_made import MEASURED


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without the library."""
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.usefixtures("bare")
def test_without_the_library_one_line_says_what_to_install(tmp_path: Path) -> None:
    for attempt in (check_plot, lambda path: plot(path, MEASURED)):
        with pytest.raises(ConfigError, match=r"pip install '\.\[plot\]' in its checkout") as caught:
            attempt(tmp_path / "bench.png")
        assert "matplotlib" in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_plot_that_could_not_be_written_is_refused_before_the_measuring(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.png"):
        check_plot(tmp_path / "bench.jpg")
    with pytest.raises(ConfigError, match="found none; make it first"):
        check_plot(tmp_path / "none" / "bench.png")

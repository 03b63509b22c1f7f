"""Fixtures and hooks of all tests; what tests import is in `tests/support`."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

from edge_fer.capture.sources.picture import silence_opencv
from edge_fer.common.secrets import forget_secrets
from tests.support.debian import missing_packages, need_debian

silence_opencv()  # whoever opens a video first sets how much FFmpeg says in this process: here it may be a test

SHARED = Path(__file__).resolve().parents[2] / "shared"

# How long an example takes says more of the machine, which others use too, than of the code.
hypothesis.settings.register_profile("edge-fer", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("edge-fer")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs the shared folder where there is none."""
    if SHARED.is_dir():
        return
    for item in items:
        if item.get_closest_marker("shared"):
            item.add_marker(pytest.mark.skip(reason=f"needs {SHARED}, which the project does not ship"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a Debian package that is not installed."""
    for mark in item.iter_markers("debian"):
        need_debian(*mark.args)


@pytest.hookimpl(wrapper=True, tryfirst=True)  # around pytest's own, which prints its summary last
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Generator[None, None, None]:
    """Name the Debian packages that would run what was skipped for want of them."""
    yield
    reasons = [report.longrepr[2] for report in terminalreporter.stats.get("skipped", ())]
    packages = missing_packages(reasons)
    if packages:
        terminalreporter.write_line(f"tests were skipped; to run them, too: apt-get install {' '.join(packages)}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI, where the shared folder is there, skipping a test that needs it is a failure."""
    report = yield
    if report.skipped and os.environ.get("CI") and SHARED.is_dir() and item.get_closest_marker("shared"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} needs {SHARED}, which is there, and yet it was skipped"
    return report


@pytest.fixture(autouse=True)
def subnormal_numbers() -> None:
    """Give them back where a test before imported tflite-runtime 2.14 on aarch64.

    It lets its thread's processor take them for zero, for which it has no switch, and Hypothesis refuses to work so.
    """
    if sys.float_info.min / 2 == 0:
        ctypes.CDLL(None).fesetenv(ctypes.c_void_p(-1))  # FE_DFL_ENV


@pytest.fixture(autouse=True)
def no_secrets() -> Iterator[None]:
    """What one test calls a secret is a word in another one."""
    yield
    forget_secrets()


@pytest.fixture
def shared() -> Path:
    """The folder of shared data beside the checkout."""
    return SHARED

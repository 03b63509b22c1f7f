"""Which of a network's files is the quicker one on this processor: float32 or INT8.

Neither is quicker everywhere: INT8 needs instructions that not every processor has. A few inferences of both are timed,
and the result is kept in the user's cache folder.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from edge_fer.inference import open_backend

RUNS = 5
"""Timed inferences of each file."""

_log = logging.getLogger(__name__)


def quicker(
    files: Mapping[str, bytes],
    shape: tuple[int, ...],
    *,
    threads: int = 1,
    cache: Path | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> str:
    """Find out which of several files of a network is the quickest.

    Args:
        files: the content of each file, by name.
        shape: the shape of the network's input.
        threads: processor threads.
        cache: the file that keeps results; None: the one in the user's cache folder.
        clock: a clock in seconds.

    Returns:
        The name of the file whose best inference of `RUNS` took the least time.

    Raises:
        BackendError: when the CPU cannot run one.
    """
    path = cache if cache is not None else cache_file()
    key = _key(files, shape, threads)
    known = _read(path)
    name = known.get(key, "")
    if name not in files:
        times = _measure(files, shape, threads, clock)
        name = min(times, key=lambda name: times[name])
        _log.debug("best of %d inferences of %s: %s s", RUNS, shape, times)
        _write(path, {**known, key: name})
    return name


def cache_file(environment: Mapping[str, str] = os.environ) -> Path:
    """The file that keeps results: below `XDG_CACHE_HOME`, else `~/.cache`."""
    folder = environment.get("XDG_CACHE_HOME")
    try:
        cache = Path(folder) if folder else Path.home() / ".cache"
    except RuntimeError:  # the user has no home folder, as in some containers
        cache = Path(tempfile.gettempdir())
    return cache / "edge-fer" / "quicker.json"


def _measure(
    files: Mapping[str, bytes], shape: tuple[int, ...], threads: int, clock: Callable[[], float]
) -> dict[str, float]:
    """The best time of each file, seconds; the files take turns, so that a busy moment slows all of them."""
    with ExitStack() as stack:
        backends = {
            name: stack.enter_context(open_backend("cpu", content, threads=threads, input_shape=shape))
            for name, content in files.items()
        }
        times: dict[str, list[float]] = {name: [] for name in files}
        for _ in range(1 + RUNS):
            for name, backend in backends.items():
                batch = np.zeros(shape, backend.inputs[0].dtype)
                start = clock()
                backend.infer(batch)
                times[name].append(clock() - start)
    return {name: min(taken[1:]) for name, taken in times.items()}


def _key(files: Mapping[str, bytes], shape: tuple[int, ...], threads: int) -> str:
    """A hash of everything that the result depends on."""
    hashes = [f"{name} {hashlib.sha256(content).hexdigest()}" for name, content in sorted(files.items())]
    facts = [*hashes, str(shape), str(threads), _processor(), _interpreter()]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    parts = [line.partition(":") for line in lines]
    # On Arm the kernel names no model, only the parts of the cores.
    names = [f"{key.strip()} {value.strip()}" for key, _, value in parts if key.strip() in ("model name", "CPU part")]
    return f"{platform.machine()} {sorted(set(names))}"


def _interpreter() -> str:
    for package in ("ai-edge-litert", "tflite-runtime"):
        try:
            return f"{package} {version(package)}"
        except PackageNotFoundError:
            continue
    return "unknown"


def _read(path: Path) -> dict[str, str]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        _log.debug("no measurements in %s: %s", path, error)
        return {}
    return content if isinstance(content, dict) else {}


def _write(path: Path, content: Mapping[str, str]) -> None:
    """Replace the file in one step, since another process may be reading it."""
    part = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(content), encoding="utf-8")
        part.replace(path)
    except OSError as error:
        _log.debug("measurements are not kept in %s: %s", path, error)

"""Python, numpy and the interpreter: whether they fit together."""

from __future__ import annotations

from collections.abc import Iterator

from edge_fer.doctor.finding import Finding, fail, ok
from edge_fer.doctor.host import Host

INTERPRETERS = {"ai-edge-litert": "ai_edge_litert.interpreter", "tflite-runtime": "tflite_runtime.interpreter"}
"""Packages and their modules, in the order in which they are preferred."""

_OLDEST = (3, 10)
_LAST_TFLITE_PYTHON = (3, 11)  # tflite-runtime 2.14.0 is the last, and has wheels up to here
_OLD_NUMPY = "pip install 'numpy<2' 'opencv-python-headless<4.12'"


def check_software(host: Host) -> Iterator[Finding]:
    """Check versions, known conflicts between them, and whether they can be imported."""
    python = "Python {}.{}".format(*host.python)
    if host.python < _OLDEST:
        yield fail(f"{python}, and edge-fer needs 3.10 or newer", "install a newer Python, or a newer system")
    else:
        yield ok(f"{python} on {host.machine}")
    yield from _check_interpreter(host)


def interpreter_of(host: Host) -> tuple[str, str] | None:
    """Package and version of the interpreter that runs the networks; None where there is none."""
    versions = ((package, host.version(package)) for package in INTERPRETERS)
    return next(((package, version) for package, version in versions if version is not None), None)


def _check_interpreter(host: Host) -> Iterator[Finding]:
    interpreter, numpy, opencv = interpreter_of(host), host.version("numpy"), host.version("opencv-python-headless")
    if interpreter is None:
        yield fail("no interpreter: neither ai-edge-litert nor tflite-runtime", _how_to_get_one(host))
        return
    package, version = interpreter
    found = f"{package} {version}, numpy {numpy}, OpenCV {opencv or 'of the system'}"
    if package == "tflite-runtime" and numpy is not None and int(numpy.split(".")[0]) >= 2:
        yield fail(f"{found}: tflite-runtime needs numpy 1 and does not say so itself", _OLD_NUMPY)
        return
    trouble = host.trial_import(["numpy", "cv2", "av", INTERPRETERS[package]])
    if trouble is None:
        yield ok(found)
    else:
        yield fail(f"{found} cannot be imported: {trouble}", "pip install --force-reinstall . in its checkout")


def _how_to_get_one(host: Host) -> str:
    if host.machine != "armv7l":
        return "pip install ai-edge-litert"
    if host.python <= _LAST_TFLITE_PYTHON:
        return f"pip install tflite-runtime && {_OLD_NUMPY}"
    return "install a 64-bit system: 32-bit Arm has no interpreter for Python 3.12 and newer"

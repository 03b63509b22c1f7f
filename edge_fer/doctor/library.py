"""libedgetpu: whether it is there, and whether it pairs with the interpreter. A mismatch is a crash, not an error."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from edge_fer.doctor.accelerator import compiled_networks, usable_tpus
from edge_fer.doctor.finding import Finding, fail, ok
from edge_fer.doctor.host import Host, Probe
from edge_fer.doctor.software import interpreter_of
from edge_fer.inference.edgetpu.devices import list_tpus
from edge_fer.inference.model_store import ModelStore

_PLACES = [f"{folder}/libedgetpu.so.1" for folder in ("usr/local/lib", "usr/lib", "usr/lib/*-linux-gnu*")]
_LAST_FOR_GOOGLES_BUILD = (
    2,
    11,
    1,
)  # later interpreters crash with Google's build: google-coral/libedgetpu#53, edgetpu#812
_PACKAGE = r"^Package: libedgetpu1-(?:std|max)\nStatus: install ok installed\n(?:.+\n)*?Version: (\S+)"
_INSTALL = (
    "install libedgetpu1-std from github.com/feranick/libedgetpu/releases: the build for this system whose TensorFlow "
    "version (16.0TF2.19.1-1: 2.19.1) is nearest to the interpreter's"
)


def check_library(host: Host, store: ModelStore | None) -> Iterator[Finding]:
    """Check the library, its version, and whether it works in a child process.

    Args:
        host: the machine.
        store: the networks, one of which is tried; None where there is no manifest.
    """
    found = host.paths(*_PLACES)
    if not found and list_tpus(host.path("sys")):
        yield fail(f"no libedgetpu.so.1 in {', '.join(f'/{place}' for place in _PLACES)}", _INSTALL)
    elif not found:
        yield ok("no libedgetpu, and no Edge TPU that would need it")
    else:
        yield _check_pairing(host, found[0], store)


def _check_pairing(host: Host, library: Path, store: ModelStore | None) -> Finding:
    package = None if "local" in library.parts else package_version(host)
    interpreter = interpreter_of(host)
    name = f"{library} ({package or 'not from a package'})"
    if package is not None and interpreter is not None and not pairs(package, *interpreter):
        return fail(f"{name} is Google's build, which crashes with {' '.join(interpreter)}", _INSTALL)
    network = _network_to_try(store) if store is not None and usable_tpus(host) else None
    probe = host.probe_edgetpu(library, network)
    return _judge(probe, name, " ".join(interpreter or ("no interpreter",)), tried=network is not None)


def _judge(probe: Probe, name: str, interpreter: str, *, tried: bool) -> Finding:
    if probe.crashed:
        return fail(f"{name} does not pair with {interpreter}: {probe.trouble}", _INSTALL)
    if probe.version is None:
        return fail(f"{name} cannot be loaded: {probe.trouble}", _INSTALL)
    if probe.trouble is not None:
        return fail(
            f"{name} cannot be used: {probe.trouble}",
            "stop what may be using it (sudo fuser -v /dev/apex_* /dev/bus/usb/*/*); else unplug it and plug it in "
            "again, or try another port, cable or power supply",
        )
    outcome = f"pairs with {interpreter}" if tried else "loads; pairing was not tried without an Edge TPU that is free"
    return ok(f"{name} {outcome}, {probe.version}")


def pairs(package: str, interpreter: str, version: str) -> bool:
    """Whether a libedgetpu package works with an interpreter, as far as is known.

    Args:
        package: version of the package; Google's is a plain `16.0`, others name their TensorFlow: `16.0tf2.19.1-1`.
        interpreter: `ai-edge-litert` or `tflite-runtime`.
        version: version of the interpreter.
    """
    if "tf" in package.lower():
        return True
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:3])
    return interpreter == "tflite-runtime" and numbers <= _LAST_FOR_GOOGLES_BUILD


def package_version(host: Host) -> str | None:
    """Version of the Debian package that contains libedgetpu; None where none is installed."""
    found = re.search(_PACKAGE, host.read("var/lib/dpkg/status") or "", re.MULTILINE)
    return found[1] if found else None


def _network_to_try(store: ModelStore) -> Path | None:
    """A network that was compiled for the Edge TPU, else the smallest one."""
    compiled = compiled_networks(store)
    if compiled:
        return store.folder / compiled[0]
    files = [path for spec in store.networks.values() if (path := store.folder / spec.file).is_file()]
    return min(files, key=lambda path: path.stat().st_size, default=None)

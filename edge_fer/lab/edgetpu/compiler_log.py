"""The log of the Edge TPU's compiler, and the manifest's entry for the file that it made.

`edgetpu_compiler -s` prints a summary and a table of operators; it ends with success, too, when most of a model stays
on the CPU. So the log is read, and a model that is not wholly on the chip is no success here.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from edge_fer.errors import ModelError, OutputError
from edge_fer.inference.manifest import NetworkEntry
from edge_fer.inference.manifest_parts import EdgeTpuFile
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.edgetpu.check import COMPILED
from edge_fer.lab.model_folder import update_manifest
from edge_fer.lab.tflite.graph import Graph

MAPPED = "Mapped to Edge TPU"
_UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_ROW = re.compile(r"^(?P<operator>[A-Z][\w-]*)\s+(?P<count>\d+)\s+(?P<status>\S.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class CompilerLog:
    """The content of a log.

    Attributes:
        version: version of the compiler.
        operators: all of them.
        on_cpu: how many stay on the CPU.
        unmapped: operator, count and reason of these, where the log has its table.
        cached_bytes: parameters that the chip keeps.
        streamed_bytes: parameters that cross the link at each inference.
    """

    version: str
    operators: int
    on_cpu: int
    unmapped: tuple[tuple[str, int, str], ...]
    cached_bytes: int
    streamed_bytes: int


def read_log(text: str) -> CompilerLog:
    """Read what `edgetpu_compiler -s` printed.

    Raises:
        ModelError: when it did not compile, or its log is not what was expected.
    """
    if not re.search(r"^Models? compiled successfully", text, re.MULTILINE):
        raise ModelError(f"expected `Model compiled successfully` in the compiler's log, found: {_complaint(text)}")
    rows = [(row["operator"], int(row["count"]), row["status"].strip()) for row in _ROW.finditer(text)]
    operators = int(_field(text, r"Total number of operations: (\d+)"))
    if sum(count for _, count, _ in rows) != operators:
        raise ModelError(
            f"expected the compiler's log to list {operators} operators, found {sum(count for _, count, _ in rows)}; "
            "run it with -s"
        )
    unmapped = tuple(row for row in rows if row[2] != MAPPED)
    return CompilerLog(
        version=_field(text, r"Edge TPU Compiler version (\S+)"),
        operators=operators,
        on_cpu=sum(count for _, count, _ in unmapped),
        unmapped=unmapped,
        cached_bytes=_bytes(text, "On-chip memory used for caching model parameters"),
        streamed_bytes=_bytes(text, "Off-chip memory used for streaming uncached model parameters"),
    )


def check_log(log: CompilerLog) -> None:
    """Accept only a model that is wholly on the Edge TPU, and some of its parameters with it.

    Raises:
        ModelError: when an operator stays on the CPU, or the chip keeps nothing.
    """
    if log.on_cpu:
        reasons = "; ".join(f"{count} {operator}: {status}" for operator, count, status in log.unmapped)
        raise ModelError(
            f"expected all {log.operators} operators on the Edge TPU, found {log.on_cpu} on the CPU ({reasons}); "
            "see `edge-fer lab edgetpu-check`"
        )
    if log.cached_bytes == 0:
        raise ModelError(
            f"expected the chip to keep parameters, found none cached and {log.streamed_bytes} bytes streamed at each "
            "inference; a smaller input leaves more memory to them"
        )


def record(folder: Path, name: str, compiled: bytes, text: str) -> NetworkEntry:
    """Put a compiled model and the compiler's log beside the model, and into the manifest.

    Args:
        folder: the folder with the manifest.
        name: name of the model in it.
        compiled: what the compiler wrote.
        text: the compiler's output.

    Returns:
        The model's new entry.

    Raises:
        ModelError: when the log or the file is not of this model, wholly on the Edge TPU.
        OutputError: when the folder cannot be written.
    """
    store = ModelStore(folder)
    if name not in store.networks:
        raise ModelError(f"expected one of {', '.join(sorted(store.networks))}, found `{name}`")
    spec = store.networks[name]
    if spec.task == "classify" and spec.region is not None:
        raise ModelError(
            f"expected a model of one network, found `{name}`, which is two with a cut between, for the CPU"
        )
    log = read_log(text)
    check_log(log)
    _check_file(Graph(compiled), Graph(store.load(name, spec.task)))
    file = f"{Path(spec.file).stem}_edgetpu.tflite"
    _write(folder / file, compiled)
    _write(folder / Path(file).with_suffix(".log"), text.encode())
    entry = EdgeTpuFile(
        file=file, sha256=hashlib.sha256(compiled).hexdigest(), compiler=f"edgetpu_compiler {log.version}"
    )
    changed = spec.model_copy(update={"edgetpu": entry})
    update_manifest(folder, {name: changed})
    return changed


def _check_file(compiled: Graph, model: Graph) -> None:
    """A compiled model is one custom operator that takes and gives what the model did."""
    names = [node.name for node in compiled.nodes]
    if names != [COMPILED]:
        raise ModelError(f"expected one {COMPILED} in the compiled file, found {', '.join(names[:4]) or 'nothing'}")
    found, expected = _ends(compiled), _ends(model)
    if found != expected:
        raise ModelError(
            f"expected the compiled file to take and give {expected}, found {found}; it is another model's"
        )


def _ends(graph: Graph) -> list[tuple[str, tuple[int, ...]]]:
    return [(graph.type(tensor), graph.shape(tensor)) for tensor in (*graph.inputs, *graph.outputs)]


def _field(text: str, pattern: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise ModelError(f"expected `{pattern}` in the compiler's log, found none; is it edgetpu_compiler 16.0?")
    return found[1]


def _bytes(text: str, name: str) -> int:
    found = re.search(rf"{name}: ([\d.]+)\s*(B|KiB|MiB|GiB)", text)
    if found is None:
        raise ModelError(f"expected `{name}` in the compiler's log, found none; is it edgetpu_compiler 16.0?")
    return round(float(found[1]) * _UNITS[found[2]])


def _complaint(text: str) -> str:
    """The line of a log that names what went wrong, or its last."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    complaints = [
        line for line in lines if re.match(r"ERROR|Compilation failed:|Internal compiler error|Invalid model", line)
    ]
    return " ".join(complaints) if complaints else (lines[-1] if lines else "nothing")


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise OutputError(f"expected to write {path}, found: {error.strerror}; choose another folder") from error

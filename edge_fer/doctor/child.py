"""What `edge-fer doctor` tries in a child process, because it may crash; see `edge_fer/process/child.py`."""

from __future__ import annotations

import ctypes
from importlib import import_module
from pathlib import Path
from typing import Any


class Imports:
    """Imports modules.

    Args:
        memory: shared memory, not used.
        modules: the names of the modules.
    """

    def __init__(self, memory: object, modules: list[str]) -> None:
        for module in modules:
            import_module(module)


class EdgeTpu:
    """The Edge TPU's library, libedgetpu.

    Args:
        memory: shared memory, not used.
        library: the path of the library.

    Attributes:
        info: `version`, as the library reports it.

    Raises:
        OSError: when it cannot be loaded.
    """

    def __init__(self, memory: object, library: str) -> None:
        self._library = library
        version = ctypes.CDLL(library).edgetpu_version
        version.restype = ctypes.c_char_p
        self.info = {"version": version().decode()}

    def pair(self, network: str) -> None:
        """Let the interpreter prepare a network for the library, as at the start of a run.

        Args:
            network: the path of a .tflite file.

        Raises:
            OSError: when the library finds no device that it can use, or refuses the network.
        """
        interpreter: Any
        try:
            interpreter = import_module("ai_edge_litert.interpreter")
        except ImportError:
            interpreter = import_module("tflite_runtime.interpreter")
        try:
            delegate = interpreter.load_delegate(self._library)
        except ValueError as error:
            raise OSError(f"it finds no device that it can use ({_line(error)})") from error
        try:
            interpreter.Interpreter(
                model_content=Path(network).read_bytes(), experimental_delegates=[delegate]
            ).allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise OSError(f"it refuses a network ({_line(error)})") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())

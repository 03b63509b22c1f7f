"""The networks of a folder: the entries of its manifest, and their files, verified."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal, overload

from edge_fer.common.text import first_line
from edge_fer.common.yaml_text import YamlTextError, parse_yaml, read_text
from edge_fer.errors import ModelError
from edge_fer.inference.manifest import (
    ClassifierSpec,
    EnsembleSpec,
    LandmarksSpec,
    ModelSpec,
    MtcnnSpec,
    MtcnnTask,
    NetworkEntry,
    NetworkTask,
    Task,
)
from edge_fer.inference.manifest_detect import DetectorSpec
from edge_fer.inference.manifest_parser import parse_manifest
from edge_fer.inference.manifest_parts import ModelFile

MANIFEST = "manifest.yaml"


class ModelStore:
    """A folder of networks with its manifest.

    Args:
        folder: the folder; None: the shipped networks.

    Raises:
        ModelError: when the manifest is missing or not what was expected.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder if folder is not None else packaged_folder()
        self._cure = "reinstall edge-fer" if folder is None else "repair that folder, or name another (--models)"
        path = self.folder / MANIFEST
        try:
            content = parse_yaml(read_text(path), path)
        except OSError as error:
            raise ModelError(f"expected the model manifest {path}, found: {error.strerror}; {self._cure}") from error
        except YamlTextError as error:
            raise ModelError(f"{error}; {self._cure}") from error
        except UnicodeDecodeError as error:
            raise ModelError(f"expected YAML in {path}, found: {first_line(error)}; {self._cure}") from error
        self._manifest = parse_manifest(content, path)

    @property
    def specs(self) -> dict[str, ModelSpec]:
        """Every entry, by name."""
        return self._manifest.models

    @overload
    def spec(self, name: str, task: Literal["classify"]) -> ClassifierSpec: ...

    @overload
    def spec(self, name: str, task: Literal["detect"]) -> DetectorSpec: ...

    @overload
    def spec(self, name: str, task: Literal["landmarks"]) -> LandmarksSpec: ...

    @overload
    def spec(self, name: str, task: MtcnnTask) -> MtcnnSpec: ...

    @overload
    def spec(self, name: str, task: NetworkTask) -> NetworkEntry: ...

    @overload
    def spec(self, name: str, task: Task) -> ModelSpec: ...

    def spec(self, name: str, task: Task) -> ModelSpec:
        """What the manifest says of one network.

        Raises:
            ModelError: when there is none of that name for that task.
        """
        spec = self.specs.get(name)
        if spec is None or spec.task != task:
            known = ", ".join(sorted(key for key, value in self.specs.items() if value.task == task))
            raise ModelError(
                f"expected a model for `{task}` (there is: {known or 'none'}), found `{name}`; name one of these, or "
                "the folder that has it with --models"
            )
        return spec

    @property
    def expression_models(self) -> dict[str, ClassifierSpec | EnsembleSpec]:
        """Every entry that reads expressions, by name."""
        return {name: spec for name, spec in self.specs.items() if isinstance(spec, ClassifierSpec | EnsembleSpec)}

    @property
    def networks(self) -> dict[str, NetworkEntry]:
        """Every entry that has a network of its own, by name."""
        return {name: spec for name, spec in self.specs.items() if isinstance(spec, NetworkEntry)}

    def expression_model(self, name: str) -> ClassifierSpec | EnsembleSpec:
        """What the manifest says of a classifier or an ensemble.

        Raises:
            ModelError: when there is neither of that name.
        """
        known = self.expression_models
        if name not in known:
            raise ModelError(f"expected a model that reads expressions (there is: {', '.join(known)}), found `{name}`")
        return known[name]

    def load(self, name: str, task: NetworkTask) -> bytes:
        """The content of a network's file, checked against its hash.

        Raises:
            ModelError: when it is missing, truncated or changed.
        """
        spec = self.spec(name, task)
        return self.read(spec.files[0])

    def load_compiled(self, name: str, task: NetworkTask) -> bytes:
        """The content of the same network compiled for the Edge TPU, checked against its hash.

        Raises:
            ModelError: when it was never compiled, or is missing, truncated or changed.
        """
        spec = self.spec(name, task)
        if spec.edgetpu is None:
            raise ModelError(
                f"expected `{name}` compiled for the Edge TPU, found no `edgetpu` in its entry of "
                f"{self.folder / MANIFEST}; {_how_to_compile(spec)}"
            )
        return self.read(spec.edgetpu)

    def read(self, file: ModelFile) -> bytes:
        """The content of one file of the folder, checked against its hash.

        Raises:
            ModelError: when it is missing, truncated or changed.
        """
        path = self.folder / file.file
        if path.exists() and not path.is_file():
            raise ModelError(f"expected a model at {path}, found no regular file; {self._cure}")
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ModelError(f"expected the model {path}, found: {error.strerror}; {self._cure}") from error
        found = hashlib.sha256(content).hexdigest()
        if found != file.sha256:
            raise ModelError(
                f"expected {path} with sha256 {file.sha256[:12]}..., found {found[:12]}... ({len(content)} bytes); "
                f"the file is corrupt or was replaced: {self._cure}"
            )
        return content

    def check_card(self, spec: ModelSpec) -> None:
        """Check that the file which describes a network is in the folder.

        Raises:
            ModelError: when it is missing.
        """
        path = self.folder / spec.card
        if not path.is_file():
            raise ModelError(f"expected the model card {path}, found no such file; write it, or correct `card`")


def _how_to_compile(spec: NetworkEntry) -> str:
    if spec.task == "classify" and spec.region is not None:
        return "it is two networks with a cut between them, for the CPU: choose `classify.backend: cpu`"
    if spec.file.endswith(".onnx"):
        return "an Edge TPU runs no ONNX: make an int8 .tflite of the network, or choose `classify.backend: cpu`"
    return "run deploy/compile_edgetpu.sh on an x86-64 machine and copy the folder here"


def packaged_folder() -> Path:
    """The folder of the shipped networks: in the installed package, or in the source tree."""
    package = Path(__file__).parents[1]
    installed = package / "_models"
    return installed if installed.is_dir() else package.parent / "models"

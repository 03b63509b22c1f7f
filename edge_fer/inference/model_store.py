"""The networks that came along: what the manifest says of each, and their bytes, verified.

`models/manifest.yaml` names every artefact with its hash and what the runtime must know to
use it. Numbers that a .tflite file states itself (shapes, scales, zero points) are read from
the file, never from here.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_fer.common.text import first_line, first_problem
from edge_fer.errors import ModelError
from edge_fer.types import Label

MANIFEST = "manifest.yaml"
Task = Literal["classify", "propose", "refine", "output"]
"""What a network is for: reading expressions, or one of MTCNN's three stages."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InputSpec(_Record):
    """How a picture becomes the network's input.

    Attributes:
        size: side of the square input in pixels; null where any size is taken.
        colour: `grey` (one luminance value on three channels) or `rgb`.
        mean: real input = (pixel / 255 - mean) / std.
        std: see `mean`.
    """

    size: int | None
    colour: Literal["grey", "rgb"]
    mean: float
    std: float = Field(gt=0)


class CropSpec(_Record):
    """How a face is cut out for a classifier, as its training faces were.

    The eyes are turned level and brought to `eye_y`, `eye_distance` apart, all as fractions
    of the crop's side. The face is sampled at `detail` x `detail` pixels before it is enlarged
    to the network's input. Chosen by measurement on validation faces.
    """

    eye_distance: float = Field(gt=0, lt=1)
    eye_y: float = Field(gt=0, lt=1)
    detail: int = Field(gt=0)


class Accuracy(_Record):
    """Figures that were measured on a named set; all 0..1."""

    dataset: str
    images: int
    float32: float
    int8: float
    agreement: float


class EdgeTpuFile(_Record):
    """The same network compiled for the Edge TPU.

    Attributes:
        file: its name beside the manifest.
        sha256: of the file.
        compiler: name and version of what made it.
    """

    file: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    compiler: str


class ModelSpec(_Record):
    """One artefact.

    Attributes:
        task: what it is for.
        file: its name beside the manifest.
        sha256: of the file.
        edgetpu: the same network compiled for the Edge TPU; null where it was not.
        input: how a picture becomes its input.
        quantization: `int8` (input, output and everything between) or `float32`.
        labels: what its outputs mean, for classifiers.
        crop: how faces are cut out, for classifiers.
        temperature: logits are divided by it before the softmax, for classifiers.
        abstain_below: confidence below which its labels are guesses, for classifiers.
        accuracy: measured on validation faces, for classifiers.
        source: where the weights come from.
        licence: of the weights.
        card: file with the full story, beside the manifest.
    """

    task: Task
    file: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    edgetpu: EdgeTpuFile | None = None
    input: InputSpec
    quantization: Literal["int8", "float32"]
    labels: tuple[Label, ...] | None = None
    crop: CropSpec | None = None
    temperature: float = Field(1.0, gt=0)
    abstain_below: float = Field(0.0, ge=0, lt=1)
    accuracy: Accuracy | None = None
    source: str
    licence: str
    card: str


class Manifest(_Record):
    """All artefacts of a folder, by name."""

    schema_: Literal["edge-fer/models/1"] = Field(alias="schema")
    models: dict[str, ModelSpec]


class ModelStore:
    """A folder of artefacts with its manifest.

    Raises:
        ModelError: when the manifest is missing or not what was expected.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder if folder is not None else packaged_folder()
        self._cure = "reinstall edge-fer" if folder is None else "mend that folder, or name another (--models)"
        path = self.folder / MANIFEST
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
            self._manifest = Manifest.model_validate(content)
        except OSError as error:
            raise ModelError(f"expected the model manifest {path}, found: {error.strerror}; {self._cure}") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ModelError(f"expected YAML in {path}, found: {first_line(error)}; {self._cure}") from error
        except ValidationError as error:
            where, what = first_problem(error)
            raise ModelError(f"expected a model manifest in {path}, found at {where}: {what}") from error

    @property
    def specs(self) -> dict[str, ModelSpec]:
        """Every artefact, by name."""
        return self._manifest.models

    def spec(self, name: str, task: Task) -> ModelSpec:
        """What the manifest says of one artefact.

        Raises:
            ModelError: when there is none of that name for that task.
        """
        spec = self.specs.get(name)
        if spec is None or spec.task != task:
            known = ", ".join(sorted(key for key, value in self.specs.items() if value.task == task))
            raise ModelError(f"expected a model for `{task}` (there is: {known}), found `{name}`")
        return spec

    def load(self, name: str, task: Task) -> bytes:
        """The content of one artefact, checked against its hash.

        Raises:
            ModelError: when it is missing, truncated or changed.
        """
        spec = self.spec(name, task)
        return self._read(spec.file, spec.sha256)

    def load_compiled(self, name: str, task: Task) -> bytes:
        """The content of the same network compiled for the Edge TPU, checked against its hash.

        Raises:
            ModelError: when it was never compiled, or is missing, truncated or changed.
        """
        compiled = self.spec(name, task).edgetpu
        if compiled is None:
            raise ModelError(
                f"expected `{name}` compiled for the Edge TPU, found no `edgetpu` in its entry of "
                f"{self.folder / MANIFEST}; run deploy/compile_edgetpu.sh on an x86-64 machine and copy the folder here"
            )
        return self._read(compiled.file, compiled.sha256)

    def _read(self, file: str, sha256: str) -> bytes:
        path = self.folder / file
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ModelError(f"expected the model {path}, found: {error.strerror}; {self._cure}") from error
        found = hashlib.sha256(content).hexdigest()
        if found != sha256:
            raise ModelError(
                f"expected {path} with sha256 {sha256[:12]}..., found {found[:12]}... ({len(content)} bytes); "
                f"the file is corrupt or was replaced: {self._cure}"
            )
        return content


def packaged_folder() -> Path:
    """Where the artefacts that came along lie: in the installed package, or in the source tree."""
    package = Path(__file__).parents[1]
    installed = package / "_models"
    return installed if installed.is_dir() else package.parent / "models"

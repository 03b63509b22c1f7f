"""The parts of which entries of a `manifest.yaml` are made; see `edge_fer.inference.manifest`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

FileName = Annotated[str, Field(pattern=r"^[^\x00]+$")]
"""Of a file in the folder of the manifest, or elsewhere by its whole path."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Record(BaseModel):
    """A part of the manifest: what it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class CropSpec(Record):
    """How a face is cut out for a classifier, as its training faces were.

    The eyes are turned level and brought to `eye_y`, `eye_distance` apart, all as fractions
    of the crop's side. The face is sampled at `detail` x `detail` pixels before it is enlarged
    to the network's input. For the shipped networks chosen by measurement on validation faces.
    """

    eye_distance: float = Field(gt=0, lt=1)
    eye_y: float = Field(gt=0, lt=1)
    detail: int = Field(gt=0)

    def sampled_side(self, size: int) -> int:
        """Side of the face as it is sampled, for a network with an input of that side, pixels."""
        return min(self.detail, size)


class Accuracy(Record):
    """Figures that were measured on a named set; all 0..1."""

    dataset: str
    images: int
    float32: float
    int8: float
    agreement: float


class FurtherOutput(Record):
    """An output beside the labels.

    Attributes:
        width: how many values it has.
        name: its name in the file; None: it is found by its width.
    """

    width: int = Field(gt=0)
    name: str | None = None


class ValenceArousal(FurtherOutput):
    """Valence and arousal, each -1..1."""

    width: Literal[2] = 2


class ModelFile(Record):
    """A file beside the manifest.

    Attributes:
        file: its name.
        sha256: its hash.
    """

    file: FileName
    sha256: Sha256


class EntrySpec(Record):
    """What every entry has.

    Attributes:
        source: where the weights come from.
        licence: the weights' licence.
        card: the file that describes the network, beside the manifest.
    """

    source: str
    licence: str
    card: FileName

    @property
    def files(self) -> tuple[ModelFile, ...]:
        """The files of this entry; none where it is made of other entries."""
        return ()

    @property
    def summary(self) -> str:
        """The rest of its line in `edge-fer models list`."""
        return ""


class FailoverSpec(Record):
    """When two devices read a face alike; see `edge_fer.expression.failover`.

    Attributes:
        tolerance: largest difference of a probability, 0..1. Of 2,000 answers of the shipped network made of random
            numbers, 1 % came as near to a right one; the two golden faces' right answers are 0.5 apart.
        golden_seeds: random seeds of the golden faces, which a device must read as the CPU does before it is used. The
            network should read them differently: then a device that repeats its last answer fails.
    """

    tolerance: float = Field(0.2, gt=0, lt=1)
    golden_seeds: tuple[int, ...] = Field((4, 12), min_length=2)


class BranchSpec(ModelFile):
    """The second input of a network: hand-made features of the face, which layers outside of its file read.

    The file holds their weights (.npz); see `edge_fer.expression.feature_branch`.

    Attributes:
        landmarks: name of the entry, in the same manifest, that finds the 68 landmarks among the features.
    """

    landmarks: str


class EdgeTpuFile(ModelFile):
    """The same network compiled for the Edge TPU.

    Attributes:
        compiler: name and version of the compiler.
    """

    compiler: str


class RegionSpec(ModelFile):
    """The network that says which part of a face the classifier looks at; see `edge_fer.expression.region`.

    It takes what the classifier takes, and gives the six numbers of an affine map.
    """


class NetworkSpec(EntrySpec):
    """An entry with a network of its own.

    Attributes:
        file: the network's file beside the manifest: .tflite, or .onnx for the CPU.
        sha256: the file's hash.
        edgetpu: the same network compiled for the Edge TPU; None where it was not.
        quantization: `int8` (input, output and everything between) or `float32`; the file decides, this tells people.
    """

    file: FileName
    sha256: Sha256
    edgetpu: EdgeTpuFile | None = None
    quantization: Literal["int8", "float32"]

    @property
    def files(self) -> tuple[ModelFile, ...]:
        """The network, and what was compiled of it."""
        compiled = (self.edgetpu,) if self.edgetpu else ()
        return (ModelFile(file=self.file, sha256=self.sha256), *compiled)

    @property
    def hashes(self) -> frozenset[str]:
        """The hashes of the files that decide what it gives: of all but what was compiled of them."""
        compiled = {self.edgetpu.sha256} if self.edgetpu else set()
        return frozenset(file.sha256 for file in self.files) - compiled

    @property
    def summary(self) -> str:
        """Arithmetic and file."""
        return f"{self.quantization:8} {self.file}"

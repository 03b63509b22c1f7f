"""From an aligned face to probabilities over the seven expressions, by one network on one device."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edge_fer.errors import BackendError, ModelError
from edge_fer.expression import ExpressionModel
from edge_fer.expression.feature_branch import FeatureBranch, open_branch
from edge_fer.expression.golden_faces import golden_faces
from edge_fer.expression.outputs import FeaturesOutput, LabelOutput
from edge_fer.expression.preprocessing import CropSampler, crop_tensor
from edge_fer.expression.region import RegionFinder, corners_of, cut_out
from edge_fer.inference import Backend, TensorSpec, open_backend
from edge_fer.inference.manifest import ClassifierSpec
from edge_fer.inference.model_store import ModelStore
from edge_fer.inference.preprocessor import Preprocessor
from edge_fer.settings import ClassifySettings
from edge_fer.types import AlignedFace, Expression, Image, Origin, Quadrilateral


def open_classifier(settings: ClassifySettings, store: ModelStore) -> Classifier:
    """Load the classifier that the settings name onto the CPU, or onto the fake device where they name that one.

    Where an Edge TPU may be used, `open_expression_model` opens it.

    Args:
        settings: device, model and threads.
        store: the folder of networks.

    Raises:
        ModelError: when the model is missing, corrupt or not what its manifest entry says.
        BackendError: when the device is missing or cannot run it.
    """
    return open_network(store, settings.model, settings.backend, settings.threads)


def open_network(
    store: ModelStore, model: str, device: str = "cpu", threads: int = 1, reason: str | None = None
) -> Classifier:
    """Load one network onto a device, and have it read its golden faces.

    This shows what the file alone cannot tell, and the first face, which takes longer, is not one of the camera's.
    The fake device is no network, and reads none.

    Args:
        store: the folder of networks.
        model: the network's name in the manifest.
        device: see `edge_fer.inference.open_backend`.
        threads: see `edge_fer.inference.open_backend`.
        reason: see `Classifier`.

    Raises:
        ModelError: when the model is missing, corrupt or not what its manifest entry says.
        BackendError: when the device is missing or cannot run it.
    """
    spec = store.spec(model, "classify")
    content = store.load(model, "classify")
    with ExitStack() as stack:
        try:
            backend = stack.enter_context(open_backend(device, content, threads=threads))
        except ModelError as error:
            raise ModelError(f"`{model}`, {store.folder / spec.file}: {error}") from error
        region = _enter(stack, open_region(store, model, spec, device, threads))
        branch = _enter(stack, open_branch(store, model, spec))
        classifier = Classifier(model, spec, backend, reason, region, branch)
        if backend.name != "fake":
            classifier.verify(golden_faces(spec))
        stack.pop_all()
    return classifier


PartT = TypeVar("PartT", RegionFinder, FeatureBranch)


def _enter(stack: ExitStack, part: PartT | None) -> PartT | None:
    """Have a part of a classifier closed with the rest, where it has it."""
    return None if part is None else stack.enter_context(part)


def open_region(
    store: ModelStore, model: str, spec: ClassifierSpec, device: str = "cpu", threads: int = 1
) -> RegionFinder | None:
    """The network that says where a classifier looks; None where it sees whole faces.

    Args:
        store: the folder of networks.
        model: the classifier's name in the manifest, for messages.
        spec: its entry there.
        device: see `edge_fer.inference.open_backend`.
        threads: see `edge_fer.inference.open_backend`.

    Raises:
        ModelError: when it is missing, corrupt or not what was expected.
    """
    if spec.region is None:
        return None
    content = store.read(spec.region)
    with ExitStack() as stack:
        try:
            finder = stack.enter_context(open_backend(device, content, threads=threads))
            region = RegionFinder(model, spec.input, finder)
        except ModelError as error:
            raise ModelError(f"`{model}`, {store.folder / spec.region.file}: {error}") from error
        stack.pop_all()
    return region


class Classifier(ExpressionModel):
    """One network on one device, or two of which the first says where the second looks.

    Args:
        model: the network's name in the manifest.
        spec: what the manifest says of it.
        backend: the device; closed with the classifier.
        reason: why it is not the device that should read faces; None when it is.
        region: says which part of a face it looks at, and is closed with it; None: it sees the whole face.
        branch: the network's second input, see `open_branch`; closed with the classifier.

    Attributes:
        model: the network's name in the manifest.
        branch: the network's second input; None: it reads the picture alone.

    The other attributes are those of `ExpressionModel`.

    Raises:
        ModelError: when the network's input or outputs are not what the manifest says, or it needs a region and gets
            none.
    """

    def __init__(
        self,
        model: str,
        spec: ClassifierSpec,
        backend: Backend,
        reason: str | None = None,
        region: RegionFinder | None = None,
        branch: FeatureBranch | None = None,
    ) -> None:
        if spec.region is not None and region is None:
            raise ModelError(
                f"expected `{model}` on the CPU, where the region that it looks at is cut out between its two "
                f"networks, found {backend.name}; choose `classify.backend: cpu`"
            )
        self.model, self.branch = model, branch
        self._reason = reason
        self.size, self.crop, self.colour = spec.input.size, spec.crop, spec.input.colour != "grey"
        crop = crop_tensor(spec)
        self._takes_crops = [(one.shape, one.dtype) for one in backend.inputs] == [(crop.shape, crop.dtype)]
        self._preprocessor = (
            CropSampler(crop.shape[0]) if self._takes_crops else Preprocessor(model, spec.input, backend.inputs)
        )
        self._labels = LabelOutput(model, spec, backend.outputs, branch)
        self._features = FeaturesOutput(model, spec, backend.outputs) if spec.features else None
        self._abstain_below = spec.abstain_below
        self._picture, self._region, self._backend = spec.input, region, backend

    @property
    def backend(self) -> str:
        """Name of the device."""
        return self._backend.name

    @property
    def origin(self) -> Origin:
        """What reads faces, and why it is not what should, if so."""
        return Origin(self.model, self._backend.name, self._reason)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What the network takes."""
        return self._backend.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What the network gives."""
        return self._backend.outputs

    def classify(self, face: AlignedFace) -> Expression:
        """Read one face; see `ExpressionModel.classify`."""
        seen, region = self._look(face.image)
        if self._takes_crops and face.sampled is not None:
            seen = face.sampled
        answers = self._infer(seen)
        probabilities = self._labels.probabilities(self._labels.values(answers, face.image))
        features = self._features.features(answers) if self._features else None
        return Expression(probabilities, self.origin, self._abstain_below, region, features)

    def values(self, face: Image) -> NDArray[np.float64]:
        """What the network gives for one face: logits or probabilities of its own labels.

        Args:
            face: aligned, uint8: `(size, size)` grey, or `(size, size, 3)` BGR where it takes colour.

        Returns:
            `(labels,)`.

        Raises:
            BackendError: see `classify`.
        """
        return self._labels.values(self._infer(self._look(face)[0]), face)

    def verify(self, faces: Sequence[AlignedFace]) -> None:
        """Check what the network gives for several faces against its manifest entry.

        Args:
            faces: faces that the network should read differently.

        Raises:
            ModelError: when it cannot be what the entry says.
        """
        try:
            readings = [self.values(face.image) for face in faces]
        except BackendError as error:
            raise ModelError(str(error)) from error
        self._labels.verify(readings)

    def close(self) -> None:
        """Release the device."""
        with ExitStack() as stack:
            stack.callback(self._backend.close)
            for part in (self._region, self.branch):
                if part is not None:
                    stack.callback(part.close)

    def _look(self, face: Image) -> tuple[Image, Quadrilateral | None]:
        """What the network is to see of a face, and where in the face that is."""
        if self._region is None:
            return face, None
        theta = self._region.find(face)
        return cut_out(face, theta, self._picture), corners_of(theta)

    def _infer(self, seen: Image) -> tuple[NDArray[Any], ...]:
        return self._backend.infer(self._preprocessor.prepare(seen))

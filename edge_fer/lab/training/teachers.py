"""Teachers: trained networks whose answers and features another network learns, on the same varied pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from edge_fer.errors import ConfigError
from edge_fer.lab.console import Progress
from edge_fer.lab.datasets.dataset import Colour, Dataset
from edge_fer.lab.networks.two_inputs import TwoInputs
from edge_fer.lab.training.augment import averaged, standardise
from edge_fer.lab.training.batches import plain_batches
from edge_fer.lab.training.initial_weights import read_weights
from edge_fer.lab.training.multi_task import MultiTaskModel, Outputs
from edge_fer.lab.training.recipe import Recipe

_LEAST_DEVIATION = 0.1  # of the mean deviation: features that hardly vary would be noise
_BATCH = 32


class Lesson(NamedTuple):
    """What teachers say of some pictures.

    Attributes:
        answers: `(n, 7)`, the mean of their probabilities.
        second: `(n, 7)`, the same of their second heads; None where none has one.
        features: `(n, feature_count)`, their pooled features, in standard deviations from the mean.
    """

    answers: Tensor
    second: Tensor | None
    features: Tensor


class Teachers(nn.Module):
    """Some trained networks, asked together.

    Args:
        models: the networks with their heads.
        digest: what tells them from others.

    Attributes:
        view: side of the pictures that they see, pixels; each averages them down to its own resolution.
        feature_count: how many features they have in all.
    """

    def __init__(self, models: Sequence[MultiTaskModel], digest: str = "") -> None:
        super().__init__()
        self.models = nn.ModuleList(models)
        self.digest = digest
        self.view = max(model.net.resolution for model in models)
        self.feature_count = sum(model.net.pooled_size for model in models)
        self.register_buffer("mean", torch.zeros(self.feature_count))
        self.register_buffer("deviation", torch.ones(self.feature_count))
        self.eval().requires_grad_(False)

    def forward(self, views: Tensor) -> Lesson:
        """Ask them.

        Args:
            views: `(n, channels, side, side)` float32, 0..255, with a side of at least `view`.
        """
        return self._lesson([self._see(model, views) for model in self.models])

    def study(self, faces: Dataset, progress: Progress) -> float:
        """Measure how the features vary over faces, which are not varied.

        Args:
            faces: hundreds of training faces.
            progress: called with the faces done.

        Returns:
            The share of the faces that the teachers name as the annotators do.
        """
        outputs = [
            plain_batches(faces, model.net.resolution, _BATCH, model.net.input) for model in self.models
        ]  # fmt: skip
        lessons: list[Lesson] = []
        with torch.inference_mode():
            for pictures in zip(*outputs, strict=True):
                answers = [model(self._placed(some)) for model, some in zip(self.models, pictures, strict=True)]
                lessons.append(self._lesson(answers))
                progress(min(len(lessons) * _BATCH, len(faces)), len(faces))
        features = torch.cat([lesson.features for lesson in lessons])
        deviation = features.std(dim=0)
        self.mean.add_(features.mean(dim=0))
        self.deviation.copy_(deviation.clamp(min=_LEAST_DEVIATION * float(deviation.mean())))
        found = torch.cat([lesson.answers for lesson in lessons]).argmax(1).cpu().numpy()
        return float((found == faces.labels).mean())

    def _see(self, model: MultiTaskModel, views: Tensor) -> Outputs:
        pictures = standardise(averaged(views, model.net.resolution), model.net.input)
        return model(self._placed(pictures))

    def _placed(self, pictures: Tensor) -> Tensor:
        return pictures.to(self.mean.device, memory_format=torch.channels_last)

    def _lesson(self, outputs: Sequence[Outputs]) -> Lesson:
        seconds = [one.second for one in outputs if one.second is not None]
        features = torch.cat([one.pooled for one in outputs], dim=1)
        return Lesson(
            _mean_answer([one.logits for one in outputs]),
            _mean_answer(seconds) if seconds else None,
            (features - self.mean) / self.deviation,
        )


def open_teachers(files: str, network: str | None, colour: Colour) -> Teachers:
    """Teachers from files.

    Args:
        files: weights as `read_weights` takes them, separated by commas.
        network: whose they are; None: what each file says.
        colour: what the network in training sees.

    Raises:
        ConfigError: when a teacher sees other colours, or reads more than pictures.
        ModelError: when a file cannot be read.
    """
    models, digest = [], hashlib.sha256()
    for name in files.split(","):
        read = read_weights(Path(name), network)
        if isinstance(read.net, TwoInputs):
            raise ConfigError(f"expected teachers that read pictures alone, found {name}: it reads hand-made features")
        if read.net.colour != colour:
            raise ConfigError(
                f"expected a teacher that sees {colour} as the network does, found {name}: it sees {read.net.colour}"
            )
        model = MultiTaskModel(read.net, read.second, dropout=0.0)
        for values in model.state_dict().values():
            digest.update(values.numpy().tobytes())
        models.append(model)
    return Teachers(models, digest.hexdigest())


def with_answers(targets: Tensor, second: Tensor, lesson: Lesson, part: float) -> tuple[Tensor, Tensor]:
    """Targets of both heads, of which a part is replaced by the teachers' answers.

    Args:
        targets: `(n, 7)`, rows summing to 1.
        second: `(n, 7)`, rows summing to 1, or 0 for a face that does not count, which then has the teachers' part.
        lesson: what the teachers say.
        part: the part, 0..1.
    """
    replaced = second if lesson.second is None else second.lerp(lesson.second, part)
    return targets.lerp(lesson.answers, part), replaced


def check_teachers(recipe: Recipe, teachers: Mapping[str, object]) -> None:
    """Whether there are the teachers that a recipe names, and no others.

    Raises:
        ConfigError: when one is missing, or named and not asked for.
    """
    for name in sorted({*recipe.teachers, *teachers}):
        if name not in teachers:
            raise ConfigError(f"expected --teacher {name}=WEIGHTS for the recipe {recipe.name}, found none")
        if name not in recipe.teachers:
            raise ConfigError(f"expected no --teacher {name} for the recipe {recipe.name}, found one")


def _mean_answer(logits: Sequence[Tensor]) -> Tensor:
    return torch.stack([torch.softmax(some.float(), dim=1) for some in logits]).mean(dim=0)

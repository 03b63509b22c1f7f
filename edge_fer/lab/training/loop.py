"""The training loop: stages, epochs, steps, and checkpoints from which an interrupted run continues exactly.

What is random in a step follows from the seed, the stage and the number of the step, so that a
checkpoint need not hold the state of any generator. Without a limit in minutes, a resumed run ends with
the very weights of an uninterrupted one on the same machine and with as many threads and processes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from edge_fer.errors import ConfigError, ModelError, SourceError
from edge_fer.lab.datasets.dataset import Dataset, Split
from edge_fer.lab.training.batches import Batch, Batches
from edge_fer.lab.training.checkpoint import BEST, CHECKPOINT, LAST, RunFolder, load_checkpoint
from edge_fer.lab.training.multi_task import MultiTaskModel, WeightEma, set_training
from edge_fer.lab.training.objective import (
    cross_entropy,
    feature_distance,
    label_weights,
    make_optimizer,
    set_learning_rate,
    towards,
)
from edge_fer.lab.training.recipe import Recipe, Stage
from edge_fer.lab.training.schedule import best_in_words, is_over, learning_rate, note_epoch
from edge_fer.lab.training.state import Options, TrainingState, check_alike, identity_of, step_seed
from edge_fer.lab.training.teachers import Lesson, Teachers, check_teachers, with_answers
from edge_fer.lab.training.track_batches import TrackBatches
from edge_fer.lab.training.validation import measure, some_of


class Trainer:
    """Trains a network by a recipe.

    Args:
        model: the network with its first weights.
        recipe: the recipe.
        data: the data set of each name that the recipe's stages use.
        folder: the folder of checkpoint, log, curves and weights.
        options: options that do not change the result; None: their defaults.
        teachers: the teachers of each name in the recipe.

    Raises:
        ConfigError: when a data set or a teacher is missing, or is another one in another process.
        SourceError: when a data set has no faces to validate on.
    """

    def __init__(
        self,
        model: MultiTaskModel,
        recipe: Recipe,
        data: Mapping[str, Dataset],
        folder: Path,
        options: Options | None = None,
        teachers: Mapping[str, Teachers] | None = None,
    ) -> None:
        self._recipe = recipe
        self._options = options or Options()
        self._processes = self._options.processes
        self._folder = RunFolder(folder, writes=self._processes.is_first)
        self._teachers = teachers or {}
        check_teachers(recipe, self._teachers)
        self._data = {stage.data: _splits(stage.data, data) for stage in recipe.stages}
        self._layout: Any = torch.channels_last if recipe.channels_last else torch.contiguous_format
        self._model = model.to(self._options.device, memory_format=self._layout)
        self._processes.prepared(self._model)
        self._average = WeightEma(self._model, recipe.ema) if recipe.ema else None
        self._forward: Any = self._model
        self._identity = identity_of(
            recipe, data, model.origin, {name: group.digest for name, group in self._teachers.items()}
        )
        check_alike(self._identity, self._processes)
        self._at = TrainingState()
        self._rows: list[dict[str, str | int | float]] = []
        self._optimizer: Any = None
        self._optimizer_state: dict[str, Any] | None = None
        self._saved_at = self._options.clock()

    def resume(self) -> None:
        """Continue from the checkpoint in the folder.

        Raises:
            ModelError: when there is none that can be read.
            ConfigError: when it is of another recipe, other data or other first weights.
        """
        path = self._folder.path / CHECKPOINT
        state = self._processes.from_first(lambda: load_checkpoint(path))
        if state["identity"] != self._identity:
            raise ConfigError(
                f"expected the recipe, the data and the first weights that {path} was made with, found others; "
                "give the same ones, or train into another --out"
            )
        self._at, self._rows = TrainingState(**state["position"]), state["rows"]
        stage = self._recipe.stages[min(self._at.stage, len(self._recipe.stages) - 1)]
        self._set_resolution(state.get("resolution", stage.size))
        self._model.load_state_dict(state["model"])
        if self._average:
            self._average.model.load_state_dict(state["average"])
        self._optimizer_state = state["optimizer"]
        self._options.reporter.say(f"resuming after step {self._at.step} of stage {stage.name}")

    def fit(self) -> bool:
        """Train to the end, or until `stopping` is set.

        Returns:
            Whether the end was reached.

        Raises:
            ModelError: when the loss is no longer a number.
            SourceError: when a picture cannot be read.
            OutputError: when the folder cannot be written.
        """
        while self._at.stage < len(self._recipe.stages):
            stage = self._recipe.stages[self._at.stage]
            if not self._stage(stage):
                self._save()
                return False
            self._folder.save_weights(f"{stage.name}.npz", self._measured())
            self._at = TrainingState(stage=self._at.stage + 1, updates=self._at.updates)
            self._optimizer = self._optimizer_state = None
            self._save()
        self._folder.save_weights(LAST, self._measured())
        return True

    def _stage(self, stage: Stage) -> bool:
        """Train a stage, or the rest of it; gives whether its end was reached."""
        training, validation = self._data[stage.data]
        validation = some_of(validation, stage.validation_faces)
        view = self._teachers[stage.teacher.name].view if stage.teacher else 0
        kind = TrackBatches if stage.frames else Batches
        seed, places = (self._recipe.seed, self._at.stage), self._processes.places
        batches = kind(training, stage, seed, self._model.net.input, view, places)
        counted = torch.from_numpy(label_weights(training.labels, stage.loss)).float().to(self._options.device)
        set_training(self._model, stage)
        self._forward = self._processes.parallel(self._model, batches.size, compiled=self._recipe.compile)
        self._set_resolution(stage.size)
        self._optimizer = make_optimizer(self._model, stage.optimizer, stage.lr)
        if self._optimizer_state is not None:
            self._optimizer.load_state_dict(self._optimizer_state)
        steps = stage.epochs * batches.steps_per_epoch
        before = self._options.clock()
        for batch in batches.stream(self._at.step, steps, self._options.workers):
            self._step(stage, batch, self._progress(stage, steps), counted)
            before = self._spend(before)
            over = self._progress(stage, steps) >= 1
            if over or self._at.step % batches.steps_per_epoch == 0:
                self._end_epoch(stage, validation, math.ceil(self._at.step / batches.steps_per_epoch))
                before = self._spend(before)
                if over or is_over(stage, self._at):
                    break
            if self._is_stopping():
                return False
            if before - self._saved_at >= self._options.checkpoint_s:
                self._save()
        return True

    def _set_resolution(self, size: int) -> None:
        """Bring the network, and its average, to the size of a stage's pictures."""
        self._model.net.set_resolution(size)
        if self._average:
            self._average.model.net.set_resolution(size)

    def _spend(self, before: float) -> float:
        now = self._options.clock()
        self._at.elapsed_s += self._processes.from_first(lambda: now - before)
        return now

    def _is_stopping(self) -> bool:
        """Whether any process was told to stop."""
        return bool(self._processes.total(torch.tensor(float(self._options.stopping.is_set()))))

    def _progress(self, stage: Stage, steps: int) -> float:
        by_clock = self._at.elapsed_s / (stage.minutes * 60) if stage.minutes else 0.0
        return min(1.0, max(self._at.step / steps, by_clock))

    def _step(self, stage: Stage, batch: Batch, progress: float, weights: Any) -> None:
        """Train on a batch."""
        started = self._options.clock()
        torch.manual_seed(step_seed(self._recipe.seed, self._at))  # of dropout
        lr = learning_rate(stage, progress, self._at.reduction)
        set_learning_rate(self._optimizer, lr)
        device = self._options.device
        images = batch.images.to(device, memory_format=self._layout)
        targets, second_targets = batch.targets.to(device), batch.second.to(device)
        hand_made = None if batch.hand_made is None else batch.hand_made.to(device)
        with torch.autocast(device, torch.bfloat16, enabled=self._recipe.bf16):
            outputs = self._forward(images, hand_made)
            lesson = self._ask(stage, batch)
            if stage.loss.distillation and self._average:
                with torch.no_grad():
                    targets = towards(targets, self._average.model(images, hand_made).logits, stage.loss.distillation)
        if stage.teacher and lesson:
            targets, second_targets = with_answers(targets, second_targets, lesson, stage.teacher.answers)
        total = self._processes.total
        loss = cross_entropy(outputs.logits, targets, weights, total)
        if outputs.second is not None and stage.loss.second:
            loss = loss + stage.loss.second * cross_entropy(outputs.second, second_targets, total=total)
        if stage.teacher and lesson and stage.teacher.features:
            mapped = self._model.maps[stage.teacher.name](outputs.pooled.float())
            loss = loss + stage.teacher.features * feature_distance(mapped, lesson.features, total)
        right = (outputs.logits.argmax(1) == targets.argmax(1)).sum()
        whole, right, faces = total(torch.stack([loss.detach(), right, torch.ones_like(targets[:, 0]).sum()])).tolist()
        self._update(stage, loss, whole)
        self._at.loss += whole * faces
        self._at.right += int(right)
        self._at.faces += int(faces)
        self._at.epoch_s += self._options.clock() - started
        self._options.reporter.step(stage.name, progress, f"loss {self._at.loss / self._at.faces:.3f}  lr {lr:.1e}")

    def _ask(self, stage: Stage, batch: Batch) -> Lesson | None:
        """What the stage's teachers say of a batch; None where it has none."""
        if stage.teacher is None or batch.views is None:
            return None
        with torch.no_grad():
            lesson: Lesson = self._teachers[stage.teacher.name](batch.views.to(self._options.device))
        return lesson

    def _update(self, stage: Stage, loss: Any, whole: float) -> None:
        """Make one step of the optimizer down the gradient of a loss, which is this process's part of the whole."""
        if not math.isfinite(whole):
            raise ModelError(
                f"expected a finite loss in stage {stage.name}, step {self._at.step + 1}, found {whole}; "
                f"lower its lr ({stage.lr}) or set bf16=false, and resume"
            )
        self._optimizer.zero_grad(set_to_none=True)
        self._processes.backward(loss)
        if stage.optimizer.grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(self._model.parameters(), stage.optimizer.grad_norm)
        self._optimizer.step()
        self._at.step += 1
        self._at.updates += 1
        if self._average:
            self._average.update(self._model, self._at.updates)

    def _end_epoch(self, stage: Stage, validation: Dataset, epoch: int) -> None:
        """Validate, and write the figures of the epoch."""
        at = self._at
        options = {"bf16": self._recipe.bf16, "tracks": stage.frames > 0}
        figures = self._processes.from_first(
            lambda: measure(self._measured(), validation, stage.size, self._options.device, **options)
        )
        row: dict[str, str | int | float] = {
            "stage": stage.name,
            "epoch": epoch,
            "step": at.step,
            "updates": at.updates,
            "lr": self._optimizer.param_groups[0]["lr"],
            "train_loss": at.loss / at.faces,
            "train_accuracy": at.right / at.faces,
            **figures,
            "faces_per_s": round(at.faces / at.epoch_s, 2) if at.epoch_s > 0 else "",
            "elapsed_s": round(at.elapsed_s, 1),
        }
        self._rows.append(row)
        at.loss, at.right, at.faces, at.epoch_s = 0.0, 0, 0, 0.0
        accuracy = float(figures["val_accuracy"])
        if note_epoch(stage, at, float(figures["val_loss"]), accuracy):
            self._folder.save_weights(BEST, self._measured())
        self._folder.save_log(self._rows)
        self._options.reporter.say(
            f"{stage.name} epoch {epoch}: loss {row['train_loss']:.4f}, validation {row['val_loss']:.4f}; "
            f"accuracy {row['train_accuracy']:.2%}, validation {accuracy:.2%} (best {best_in_words(stage, at)}), "
            f"{row['faces_per_s'] or '?'} faces/s"
        )
        set_training(self._model, stage)

    def _measured(self) -> MultiTaskModel:
        return self._average.model if self._average else self._model

    def _save(self) -> None:
        """Write a checkpoint."""
        self._folder.save_checkpoint(
            {
                "identity": self._identity,
                "resolution": self._model.net.resolution,
                "model": self._model.state_dict(),
                "average": self._average.model.state_dict() if self._average else None,
                "optimizer": self._optimizer.state_dict() if self._optimizer else None,
                "position": asdict(self._at),
                "rows": self._rows,
            }
        )
        self._saved_at = self._options.clock()


def _splits(name: str, data: Mapping[str, Dataset]) -> tuple[Dataset, Dataset]:
    if name not in data:
        raise ConfigError(
            f"expected a data set for `{name}`, found {', '.join(data) or 'none'}; give --data {name}=PATH"
        )
    training, validation = (data[name].only(split) for split in (Split.TRAINING, Split.VALIDATION))
    if not len(validation):
        raise SourceError(f"expected faces to validate on in {data[name].name}, found none; check its splits")
    return training, validation

"""The training loop: stages, epochs, steps, and checkpoints from which an interrupted run continues exactly.

What is random in a step follows from the seed, the stage and the number of the step, so that a
checkpoint need not hold the state of any generator. Without a limit in minutes, a resumed run ends with
the very weights of an uninterrupted one on the same machine and with as many threads and processes.
The last stage stays open in its checkpoint: a run that has ended goes on when it is given a longer one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edge_fer.errors import ConfigError, ModelError, SourceError
from edge_fer.lab.datasets.dataset import Dataset, Split
from edge_fer.lab.training.batches import Batch, Batches
from edge_fer.lab.training.checkpoint import BEST, LAST
from edge_fer.lab.training.lengths import changes, lengths_of, nothing_left
from edge_fer.lab.training.multi_task import MultiTaskModel, set_training
from edge_fer.lab.training.objective import (
    cross_entropy,
    feature_distance,
    label_weights,
    make_optimizer,
    set_learning_rate,
    towards,
)
from edge_fer.lab.training.recipe import Recipe, Stage
from edge_fer.lab.training.run import Run
from edge_fer.lab.training.schedule import best_in_words, is_over, learning_rate, note_epoch
from edge_fer.lab.training.state import Options, TrainingState, check_alike, identity_of, step_seed
from edge_fer.lab.training.teachers import Lesson, Teachers, check_teachers, with_answers
from edge_fer.lab.training.track_batches import TrackBatches
from edge_fer.lab.training.training_log import plot_curves
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
        self._teachers = teachers or {}
        check_teachers(recipe, self._teachers)
        self._data = {stage.data: _splits(stage.data, data) for stage in recipe.stages}
        self._layout: Any = torch.channels_last if recipe.channels_last else torch.contiguous_format
        net = model.to(self._options.device, memory_format=self._layout)
        self._processes.prepared(net)
        self._forward: Any = net
        identity = identity_of(
            recipe, data, model.origin, {name: group.digest for name, group in self._teachers.items()}
        )
        self._lengths = lengths_of(recipe.stages)
        check_alike((identity, self._lengths), self._processes)
        self._run = Run(net, TrainingState(), identity, self._lengths, recipe.ema, folder, self._options)
        self._optimizer_state: dict[str, Any] | None = None

    def resume(self) -> None:
        """Continue from the checkpoint in the folder; stages that are not left behind may have another length.

        Raises:
            ModelError: when there is none that can be read.
            ConfigError: when it is of another recipe, other data or other first weights.
        """
        checkpoint = self._run.read_checkpoint()
        stages, at = self._recipe.stages, checkpoint["position"]["stage"]
        changed = changes(checkpoint["lengths"], self._lengths, [one.name for one in stages], at)
        stage = stages[at]
        self._set_resolution(checkpoint.get("resolution", stage.size))
        self._run.restore(checkpoint)
        self._optimizer_state = checkpoint["optimizer"]
        for line in (f"resuming after step {self._run.at.step} of stage {stage.name}", *changed):
            self._options.reporter.say(line)

    def fit(self) -> bool:
        """Train to the end, or until `stopping` is set.

        Returns:
            Whether the end was reached.

        Raises:
            ModelError: when the loss is no longer a number.
            SourceError: when a picture cannot be read.
            OutputError: when the folder cannot be written.
        """
        run, last = self._run, self._recipe.stages[-1]
        for stage in self._recipe.stages[run.at.stage :]:
            if not self._stage(stage):
                self._save()
                return False
            self._save_weights(f"{stage.name}.npz")
            if stage is not last:
                run.at = TrainingState(stage=run.at.stage + 1, updates=run.at.updates)
                run.optimizer = self._optimizer_state = None
            self._save()
        self._save_weights(LAST)
        return True

    def _stage(self, stage: Stage) -> bool:
        """Train a stage, or the rest of it; gives whether its end was reached."""
        run = self._run
        training, validation = self._data[stage.data]
        validation = some_of(validation, stage.validation_faces)
        batches = self._batches(stage, training)
        counted = torch.from_numpy(label_weights(training.labels, stage.loss)).float().to(self._options.device)
        self._prepare(stage, batches.size)
        steps = stage.epochs * batches.steps_per_epoch
        if run.progress(steps, stage.minutes) >= 1 or is_over(stage, run.at):
            self._end_early(stage, validation, math.ceil(run.at.step / batches.steps_per_epoch))
            return True
        before = self._options.clock()
        for batch in batches.stream(run.at.step, steps, self._options.workers):
            self._step(stage, batch, run.progress(steps, stage.minutes), counted)
            before = run.spend(before)
            over = run.progress(steps, stage.minutes) >= 1
            if over or run.at.step % batches.steps_per_epoch == 0:
                self._end_epoch(stage, validation, math.ceil(run.at.step / batches.steps_per_epoch))
                before = run.spend(before)
                if over or is_over(stage, run.at):
                    break
            if self._is_stopping():
                return False
            if run.is_save_due(before):
                self._save()
        return True

    def _end_early(self, stage: Stage, validation: Dataset, epoch: int) -> None:
        """End a stage of a resumed run, which was over or is shorter now."""
        self._options.reporter.say(nothing_left(stage.name))
        if self._run.at.faces:
            self._end_epoch(stage, validation, epoch)

    def _batches(self, stage: Stage, training: Dataset) -> Batches | TrackBatches:
        """The batches of a stage, of which each process makes its part."""
        view = self._teachers[stage.teacher.name].view if stage.teacher else 0
        kind = TrackBatches if stage.frames else Batches
        seed, places = (self._recipe.seed, self._run.at.stage), self._processes.places
        return kind(training, stage, seed, self._run.net.net.input, view, places)

    def _prepare(self, stage: Stage, faces: int) -> None:
        """Let the network learn what a stage trains, in batches of so many faces."""
        run = self._run
        set_training(run.net, stage)
        self._forward = self._processes.parallel(run.net, faces, compiled=self._recipe.compile)
        self._set_resolution(stage.size)
        run.optimizer = make_optimizer(run.net, stage.optimizer, stage.lr)
        if self._optimizer_state is not None:
            run.optimizer.load_state_dict(self._optimizer_state)

    def _set_resolution(self, size: int) -> None:
        """Bring the network, and its average, to the size of a stage's pictures."""
        for model in (self._run.net, self._run.averaged):
            if model:
                model.net.set_resolution(size)

    def _is_stopping(self) -> bool:
        """Whether any process was told to stop."""
        return bool(self._processes.total(torch.tensor(float(self._options.stopping.is_set()))))

    def _step(self, stage: Stage, batch: Batch, progress: float, weights: Any) -> None:
        """Train on a batch."""
        started, at = self._options.clock(), self._run.at
        torch.manual_seed(step_seed(self._recipe.seed, at))  # of dropout
        lr = learning_rate(stage, progress, at.reduction)
        set_learning_rate(self._run.optimizer, lr)
        loss, right = self._loss(stage, batch, weights)
        here = loss.new_tensor(len(batch.targets))
        whole, right, faces = self._processes.total(torch.stack([loss.detach(), right, here])).tolist()
        self._check(stage, whole)
        self._run.update(loss, stage.optimizer.grad_norm)
        at.loss += whole * faces
        at.right += int(right)
        at.faces += int(faces)
        at.epoch_s += self._options.clock() - started
        self._options.reporter.step(stage.name, progress, f"loss {at.loss / at.faces:.3f}  lr {lr:.1e}")

    def _loss(self, stage: Stage, batch: Batch, weights: Any) -> tuple[Tensor, Any]:
        """This process's part of the loss of a batch, and how many of its faces got the target's label."""
        device, total = self._options.device, self._processes.total
        images = batch.images.to(device, memory_format=self._layout)
        targets, second_targets = batch.targets.to(device), batch.second.to(device)
        hand_made = None if batch.hand_made is None else batch.hand_made.to(device)
        with torch.autocast(device, torch.bfloat16, enabled=self._recipe.bf16):
            outputs = self._forward(images, hand_made)
            lesson = self._ask(stage, batch)
            if stage.loss.distillation and self._run.averaged:
                with torch.no_grad():
                    averaged = self._run.averaged(images, hand_made).logits
                    targets = towards(targets, averaged, stage.loss.distillation)
        if stage.teacher and lesson:
            targets, second_targets = with_answers(targets, second_targets, lesson, stage.teacher.answers)
        loss = cross_entropy(outputs.logits, targets, weights, total)
        if outputs.second is not None and stage.loss.second:
            loss = loss + stage.loss.second * cross_entropy(outputs.second, second_targets, total=total)
        if stage.teacher and lesson and stage.teacher.features:
            mapped = self._run.net.maps[stage.teacher.name](outputs.pooled.float())
            loss = loss + stage.teacher.features * feature_distance(mapped, lesson.features, total)
        return loss, (outputs.logits.argmax(1) == targets.argmax(1)).sum()

    def _ask(self, stage: Stage, batch: Batch) -> Lesson | None:
        """What the stage's teachers say of a batch; None where it has none."""
        if stage.teacher is None or batch.views is None:
            return None
        with torch.no_grad():
            lesson: Lesson = self._teachers[stage.teacher.name](batch.views.to(self._options.device))
        return lesson

    def _check(self, stage: Stage, loss: float) -> None:
        """Raise an error where a loss is no longer a number."""
        if not math.isfinite(loss):
            raise ModelError(
                f"expected a finite loss in stage {stage.name}, step {self._run.at.step + 1}, found {loss}; "
                f"lower its lr ({stage.lr}) or set bf16=false, and resume"
            )

    def _end_epoch(self, stage: Stage, validation: Dataset, epoch: int) -> None:
        """Validate, and write the figures of the epoch."""
        run, at = self._run, self._run.at
        options = {"bf16": self._recipe.bf16, "tracks": stage.frames > 0}
        figures = self._processes.from_first(
            lambda: measure(run.measured, validation, stage.size, self._options.device, **options)
        )
        row: dict[str, str | int | float] = {
            "stage": stage.name,
            "epoch": epoch,
            "step": at.step,
            "updates": at.updates,
            "lr": run.optimizer.param_groups[0]["lr"],
            "train_loss": at.loss / at.faces,
            "train_accuracy": at.right / at.faces,
            **figures,
            "faces_per_s": round(at.faces / at.epoch_s, 2) if at.epoch_s > 0 else "",
            "elapsed_s": round(at.elapsed_s, 1),
        }
        run.rows.append(row)
        at.loss, at.right, at.faces, at.epoch_s = 0.0, 0, 0, 0.0
        accuracy = float(figures["val_accuracy"])
        if note_epoch(stage, at, float(figures["val_loss"]), accuracy):
            self._save_weights(BEST)
        run.folder.save_log(run.rows, plot_curves)
        self._options.reporter.say(
            f"{stage.name} epoch {epoch}: loss {row['train_loss']:.4f}, validation {row['val_loss']:.4f}; "
            f"accuracy {row['train_accuracy']:.2%}, validation {accuracy:.2%} (best {best_in_words(stage, at)}), "
            f"{row['faces_per_s'] or '?'} faces/s"
        )
        set_training(run.net, stage)

    def _save_weights(self, name: str) -> None:
        self._run.folder.write(name, self._run.measured.save)

    def _save(self) -> None:
        """Write a checkpoint."""
        self._run.save(resolution=self._run.net.net.resolution)


def _splits(name: str, data: Mapping[str, Dataset]) -> tuple[Dataset, Dataset]:
    if name not in data:
        raise ConfigError(
            f"expected a data set for `{name}`, found {', '.join(data) or 'none'}; give --data {name}=PATH"
        )
    training, validation = (data[name].only(split) for split in (Split.TRAINING, Split.VALIDATION))
    if not len(validation):
        raise SourceError(f"expected faces to validate on in {data[name].name}, found none; check its splits")
    return training, validation

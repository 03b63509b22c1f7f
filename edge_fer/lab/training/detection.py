"""Trains a detector: epochs, steps, and checkpoints from which an interrupted run continues exactly; see `loop`.

What is random in a step follows from the seed and the number of the step alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from edge_fer.errors import ModelError
from edge_fer.lab.datasets.detection.pictures import LabelledPictures
from edge_fer.lab.networks.yolov3_tiny import YoloV3Tiny
from edge_fer.lab.training.checkpoint import BEST, LAST
from edge_fer.lab.training.detection_batches import DetectionBatch, DetectionBatches
from edge_fer.lab.training.detection_loss import detection_loss
from edge_fer.lab.training.detection_recipe import DetectionRecipe
from edge_fer.lab.training.detection_start import identity_of
from edge_fer.lab.training.detection_validation import measure_detector
from edge_fer.lab.training.lengths import changes, lengths_of, nothing_left
from edge_fer.lab.training.objective import make_optimizer, set_learning_rate
from edge_fer.lab.training.run import Run
from edge_fer.lab.training.schedule import learning_rate
from edge_fer.lab.training.state import Options, Position
from edge_fer.lab.training.training_log import plot_detection
from edge_fer.lab.weights.detector import save_detector


@dataclass(slots=True)
class DetectionState(Position):
    """How far the training of a detector is.

    Attributes:
        best: mean average precision of the best epoch.
        loss: sums over the pictures of the epoch, of boxes, objectness and classes.
        pictures: pictures of the epoch so far.
    """

    best: float = -1.0
    loss: tuple[float, float, float] = (0.0, 0.0, 0.0)
    pictures: int = 0


class DetectionTrainer:
    """Trains a detector by a recipe.

    Args:
        net: the network with its first weights.
        recipe: the recipe.
        training: the pictures to train on.
        validation: pictures to measure on, of other people.
        folder: the folder of checkpoint, log, curves and weights.
        options: options that do not change the result; None: their defaults.
    """

    def __init__(
        self,
        net: YoloV3Tiny,
        recipe: DetectionRecipe,
        training: LabelledPictures,
        validation: LabelledPictures,
        folder: Path,
        options: Options | None = None,
    ) -> None:
        self._recipe, self._options = recipe, options or Options()
        self._batches, self._validation = DetectionBatches(training, recipe), validation
        self._layout: Any = torch.channels_last if recipe.channels_last else torch.contiguous_format
        identity, self._lengths = identity_of(recipe, net, training, validation), lengths_of([recipe])
        placed = net.to(self._options.device, memory_format=self._layout)
        self._run = Run(placed, DetectionState(), identity, self._lengths, recipe.ema, folder, self._options)
        self._run.optimizer = make_optimizer(placed, recipe.optimizer, recipe.lr)

    def resume(self) -> None:
        """Continue from the checkpoint in the folder; the recipe may say another length than before.

        Raises:
            ModelError: when there is none that can be read.
            ConfigError: when it is of another recipe, other data or other anchors.
        """
        checkpoint = self._run.read_checkpoint()
        self._run.restore(checkpoint)
        self._run.optimizer.load_state_dict(checkpoint["optimizer"])
        self._options.reporter.say(f"resuming after step {self._run.at.step}")
        for change in changes(checkpoint["lengths"], self._lengths, [self._recipe.name], 0):
            self._options.reporter.say(change)

    def fit(self) -> bool:
        """Train to the end, or until `stopping` is set.

        Returns:
            Whether the end was reached.

        Raises:
            ModelError: when the loss is no longer a number.
            SourceError: when a picture cannot be read.
            OutputError: when the folder cannot be written.
        """
        run, steps = self._run, self._recipe.epochs * self._recipe.steps_per_epoch
        run.net.train()
        before = self._options.clock()
        if self._progress() >= 1:
            self._end_early()
        for batch in self._batches.stream(run.at.step, steps, self._options.workers):
            if self._progress() >= 1:
                break
            self._step(batch)
            before = run.spend(before)
            if self._progress() >= 1 or run.at.step % self._recipe.steps_per_epoch == 0:
                self._end_epoch()
                before = run.spend(before)
            if self._options.stopping.is_set():
                run.save()
                return False
            if run.is_save_due(before):
                run.save()
        run.save()
        self._save_weights(LAST)
        return True

    def _end_early(self) -> None:
        """End a run that is resumed after its end, since it was over or is shorter now."""
        self._options.reporter.say(nothing_left(self._recipe.name))
        if self._run.at.pictures:
            self._end_epoch()

    def _progress(self) -> float:
        return self._run.progress(self._recipe.epochs * self._recipe.steps_per_epoch, self._recipe.minutes)

    def _rate(self) -> float:
        """The learning rate of the next step; Darknet's burn-in goes by the fourth power."""
        rate = learning_rate(self._recipe, self._progress())
        step, burn_in = self._run.at.step + 1, self._recipe.burn_in
        return rate * (step / burn_in) ** 4 if step < burn_in else rate

    def _step(self, batch: DetectionBatch) -> None:
        """Train on a batch."""
        started, net, at = self._options.clock(), self._run.net, self._run.at
        rate = self._rate()
        set_learning_rate(self._run.optimizer, rate)
        images = batch.images.to(self._options.device, memory_format=self._layout)
        side = images.shape[-1]
        net.set_resolution(side)
        faces = batch.faces.to(self._options.device)
        parts = detection_loss(net(images), faces, net.anchors, side)
        self._check(parts.total)
        self._run.update(parts.total, self._recipe.optimizer.grad_norm)
        count = len(images)
        of_batch = (parts.boxes.item(), parts.objectness.item(), parts.classes.item())
        boxes, objectness, classes = (old + new * count for old, new in zip(at.loss, of_batch, strict=True))
        at.loss = (boxes, objectness, classes)
        at.pictures += count
        at.epoch_s += self._options.clock() - started
        mean = sum(at.loss) / at.pictures
        self._options.reporter.step(self._recipe.name, self._progress(), f"loss {mean:.3f}  lr {rate:.1e}")

    def _check(self, loss: Any) -> None:
        """Raise an error where a loss is no longer a number."""
        if not torch.isfinite(loss):
            raise ModelError(
                f"expected a finite loss in step {self._run.at.step + 1}, found {loss.item()}; lower lr "
                f"({self._recipe.lr}) or set optimizer.grad_norm, and resume"
            )

    def _end_epoch(self) -> None:
        """Validate, and write the figures of the epoch."""
        run, at, most = self._run, self._run.at, self._recipe.validation_pictures
        score = measure_detector(self._measured(), self._validation, most, self._options.device)
        boxes, objectness, classes = (value / max(at.pictures, 1) for value in at.loss)
        row: dict[str, str | int | float] = {
            "epoch": len(run.rows) + 1,
            "step": at.step,
            "lr": run.optimizer.param_groups[0]["lr"],
            "loss_boxes": boxes,
            "loss_objectness": objectness,
            "loss_classes": classes,
            "val_map": score.mean,
            "val_faces": score.faces,
            "val_faces_from_32": score.from_32,
            "pictures_per_s": round(at.pictures / at.epoch_s, 2) if at.epoch_s > 0 else "",
            "elapsed_s": round(at.elapsed_s, 1),
        }
        run.rows.append(row)
        at.loss, at.pictures, at.epoch_s = (0.0, 0.0, 0.0), 0, 0.0
        if score.mean > at.best:
            at.best = score.mean
            self._save_weights(BEST)
        run.folder.save_log(run.rows, plot_detection)
        self._options.reporter.say(
            f"epoch {row['epoch']}: loss {boxes + objectness + classes:.3f} (boxes {boxes:.3f}, objectness "
            f"{objectness:.3f}, classes {classes:.3f}); validation mAP {score.mean:.2%} (best {at.best:.2%}), faces "
            f"{score.faces:.2%}, from 32 pixels {score.from_32:.2%}; {row['pictures_per_s'] or '?'} pictures/s"
        )
        run.net.train()

    def _measured(self) -> YoloV3Tiny:
        """The network that is measured and written, at the recipe's size."""
        net = self._run.measured
        net.set_resolution(self._recipe.size)
        return net

    def _save_weights(self, name: str) -> None:
        self._run.folder.write(name, lambda path: save_detector(path, self._measured()))

"""Trains a detector: epochs, steps, and checkpoints from which an interrupted run continues exactly; see `loop`.

What is random in a step follows from the seed and the number of the step alone.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from edge_fer.errors import ConfigError, ModelError
from edge_fer.lab.datasets.detection.pictures import LabelledPictures
from edge_fer.lab.networks.yolov3_tiny import YoloV3Tiny
from edge_fer.lab.training.checkpoint import load_checkpoint, save_checkpoint
from edge_fer.lab.training.detection_batches import DetectionBatch, DetectionBatches
from edge_fer.lab.training.detection_loss import detection_loss
from edge_fer.lab.training.detection_recipe import DetectionRecipe
from edge_fer.lab.training.detection_start import identity_of
from edge_fer.lab.training.detection_validation import measure_detector
from edge_fer.lab.training.multi_task import WeightEma
from edge_fer.lab.training.objective import make_optimizer, set_learning_rate
from edge_fer.lab.training.schedule import learning_rate
from edge_fer.lab.training.state import Options
from edge_fer.lab.training.training_log import plot_detection, write_table
from edge_fer.lab.weights.detector import save_detector

CHECKPOINT, BEST, LAST, TABLE, CURVES = "checkpoint.pt", "best.npz", "last.npz", "log.csv", "curves.png"
"""What a run leaves in its folder. The best weights are those with the best mean average precision."""


@dataclass(slots=True)
class DetectionState:
    """How far a run is.

    Attributes:
        step: steps made.
        elapsed_s: time spent.
        best: mean average precision of the best epoch.
        loss: sums over the pictures of the epoch, of boxes, objectness and classes.
        pictures: pictures of the epoch so far.
        epoch_s: time spent on the steps of the epoch.
    """

    step: int = 0
    elapsed_s: float = 0.0
    best: float = -1.0
    loss: tuple[float, float, float] = (0.0, 0.0, 0.0)
    pictures: int = 0
    epoch_s: float = 0.0


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
        self._recipe, self._folder, self._options = recipe, folder, options or Options()
        self._batches, self._validation = DetectionBatches(training, recipe), validation
        self._layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
        self._net: Any = net.to(self._options.device, memory_format=self._layout)
        self._average = WeightEma(self._net, recipe.ema) if recipe.ema else None
        self._optimizer = make_optimizer(self._net, recipe.optimizer, recipe.lr)
        self._identity = identity_of(recipe, net, training, validation)
        self._at = DetectionState()
        self._rows: list[dict[str, str | int | float]] = []
        self._saved_at = self._options.clock()

    def resume(self) -> None:
        """Continue from the checkpoint in the folder.

        Raises:
            ModelError: when there is none that can be read.
            ConfigError: when it is of another recipe, other data or other anchors.
        """
        path = self._folder / CHECKPOINT
        state = load_checkpoint(path)
        if state["identity"] != self._identity:
            raise ConfigError(
                f"expected the recipe and the data that {path} was made with, found others; give the same ones, or "
                "train into another --out"
            )
        self._at, self._rows = DetectionState(**state["position"]), state["rows"]
        self._net.load_state_dict(state["model"])
        if self._average:
            self._average.model.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._options.reporter.say(f"resuming after step {self._at.step}")

    def fit(self) -> bool:
        """Train to the end, or until `stopping` is set.

        Returns:
            Whether the end was reached.

        Raises:
            ModelError: when the loss is no longer a number.
            SourceError: when a picture cannot be read.
            OutputError: when the folder cannot be written.
        """
        steps = self._recipe.epochs * self._recipe.steps_per_epoch
        self._net.train()
        before = self._options.clock()
        for batch in self._batches.stream(self._at.step, steps, self._options.workers):
            if self._progress() >= 1:
                break
            self._step(batch)
            before = self._spend(before)
            if self._progress() >= 1 or self._at.step % self._recipe.steps_per_epoch == 0:
                self._end_epoch()
                before = self._spend(before)
            if self._options.stopping.is_set():
                self._save()
                return False
            if before - self._saved_at >= self._options.checkpoint_s:
                self._save()
        self._save()
        save_detector(self._folder / LAST, self._measured())
        return True

    def _progress(self) -> float:
        """How much of the training is done, by its steps or by the clock."""
        by_steps = self._at.step / (self._recipe.epochs * self._recipe.steps_per_epoch)
        by_clock = self._at.elapsed_s / (self._recipe.minutes * 60) if self._recipe.minutes else 0.0
        return min(1.0, max(by_steps, by_clock))

    def _spend(self, before: float) -> float:
        now = self._options.clock()
        self._at.elapsed_s += now - before
        return now

    def _rate(self) -> float:
        """The learning rate of the next step; Darknet's burn-in goes by the fourth power."""
        rate = learning_rate(self._recipe, self._progress())
        step, burn_in = self._at.step + 1, self._recipe.burn_in
        return rate * (step / burn_in) ** 4 if step < burn_in else rate

    def _step(self, batch: DetectionBatch) -> None:
        """Train on a batch."""
        started = self._options.clock()
        rate = self._rate()
        set_learning_rate(self._optimizer, rate)
        images = batch.images.to(self._options.device, memory_format=self._layout)
        side = images.shape[-1]
        self._net.set_resolution(side)
        faces = batch.faces.to(self._options.device)
        parts = detection_loss(self._net(images), faces, self._net.anchors, side)
        self._update(parts.total)
        count = len(images)
        of_batch = (parts.boxes.item(), parts.objectness.item(), parts.classes.item())
        boxes, objectness, classes = (old + new * count for old, new in zip(self._at.loss, of_batch, strict=True))
        self._at.loss = (boxes, objectness, classes)
        self._at.pictures += count
        self._at.epoch_s += self._options.clock() - started
        mean = sum(self._at.loss) / self._at.pictures
        self._options.reporter.step(self._recipe.name, self._progress(), f"loss {mean:.3f}  lr {rate:.1e}")

    def _update(self, loss: Any) -> None:
        """Make one step of the optimizer down the gradient of a loss."""
        if not torch.isfinite(loss):
            raise ModelError(
                f"expected a finite loss in step {self._at.step + 1}, found {loss.item()}; lower lr "
                f"({self._recipe.lr}) or set optimizer.grad_norm, and resume"
            )
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self._recipe.optimizer.grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(self._net.parameters(), self._recipe.optimizer.grad_norm)
        self._optimizer.step()
        self._at.step += 1
        if self._average:
            self._average.update(self._net, self._at.step)

    def _end_epoch(self) -> None:
        """Validate, and write the figures of the epoch."""
        at, score = (
            self._at,
            measure_detector(
                self._measured(), self._validation, self._recipe.validation_pictures, self._options.device
            ),
        )
        boxes, objectness, classes = (value / max(at.pictures, 1) for value in at.loss)
        row: dict[str, str | int | float] = {
            "epoch": len(self._rows) + 1,
            "step": at.step,
            "lr": self._optimizer.param_groups[0]["lr"],
            "loss_boxes": boxes,
            "loss_objectness": objectness,
            "loss_classes": classes,
            "val_map": score.mean,
            "val_faces": score.faces,
            "val_faces_from_32": score.from_32,
            "pictures_per_s": round(at.pictures / at.epoch_s, 2) if at.epoch_s > 0 else "",
            "elapsed_s": round(at.elapsed_s, 1),
        }
        self._rows.append(row)
        at.loss, at.pictures, at.epoch_s = (0.0, 0.0, 0.0), 0, 0.0
        if score.mean > at.best:
            at.best = score.mean
            save_detector(self._folder / BEST, self._measured())
        write_table(self._folder / TABLE, self._rows)
        plot_detection(self._folder / CURVES, self._rows)
        self._options.reporter.say(
            f"epoch {row['epoch']}: loss {boxes + objectness + classes:.3f} (boxes {boxes:.3f}, objectness "
            f"{objectness:.3f}, classes {classes:.3f}); validation mAP {score.mean:.2%} (best {at.best:.2%}), faces "
            f"{score.faces:.2%}, from 32 pixels {score.from_32:.2%}; {row['pictures_per_s'] or '?'} pictures/s"
        )
        self._net.train()

    def _measured(self) -> YoloV3Tiny:
        """The network that is measured and written, at the recipe's size."""
        net: Any = self._average.model if self._average else self._net
        net.set_resolution(self._recipe.size)
        measured: YoloV3Tiny = net
        return measured

    def _save(self) -> None:
        """Write a checkpoint."""
        save_checkpoint(
            self._folder / CHECKPOINT,
            {
                "identity": self._identity,
                "model": self._net.state_dict(),
                "average": self._average.model.state_dict() if self._average else None,
                "optimizer": self._optimizer.state_dict(),
                "position": asdict(self._at),
                "rows": self._rows,
            },
        )
        self._saved_at = self._options.clock()

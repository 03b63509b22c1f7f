"""What may be wrong with a run: one place where the loop and its reports look."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from edge_fer.capture.camera import Camera
from edge_fer.common.deadline import Deadline, stuck_sentence
from edge_fer.expression import ExpressionModel
from edge_fer.inference.supervised import Change
from edge_fer.schema import Loop
from edge_fer.status.health import Health
from edge_fer.types import Origin


class RunCondition:
    """How the parts of a run are now.

    Args:
        camera: where frames come from.
        model: what reads expressions.
        health: how hot the box is.
        deadlines: the deadlines of the calls under way, by loop.

    Attributes:
        camera: see above.
        health: see above.
    """

    def __init__(
        self, camera: Camera, model: ExpressionModel, health: Health, deadlines: Mapping[Loop, Deadline]
    ) -> None:
        self.camera, self.health = camera, health
        self._model, self._deadlines = model, deadlines

    @property
    def origin(self) -> Origin:
        """What reads faces now, and why it is not what should, if so."""
        return self._model.origin

    @property
    def recovery(self) -> dict[str, int]:
        """How often each step was taken to bring a device back."""
        return dict(sum((Counter(device.recovery) for device in self._model.devices), Counter()))

    @property
    def stuck(self) -> Loop | None:
        """Which loop is in a call that has outlived its deadline; None when all turn."""
        return next((name for name, deadline in self._deadlines.items() if deadline.missed), None)

    @property
    def trouble(self) -> str | None:
        """What is replaced or missing now, in words; None: nothing."""
        return self.origin.reason or self.trouble_beside_devices

    @property
    def trouble_beside_devices(self) -> str | None:
        """What is wrong besides the devices that read faces."""
        stuck = self.stuck
        return (stuck_sentence(stuck) if stuck else None) or self.health.reason or self.camera.blind

    def device_changes(self) -> Iterator[Change]:
        """What happened to the devices since the last call, oldest first of each; for one thread."""
        for device in self._model.devices:
            for _ in range(len(device.changes)):
                yield device.changes.popleft()

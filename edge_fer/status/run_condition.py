"""What may be wrong with a run: one place where the loop and its reports look."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from edge_fer.common.deadline import Deadline, Heartbeat, stuck_sentence
from edge_fer.inference.supervised import Change, SupervisedDevice
from edge_fer.schema import Loop
from edge_fer.status.health import Health
from edge_fer.types import Origin


class RunSource(Protocol):
    """Where the work of a run comes from: the camera of `edge-fer run`, or the clients of `edge-fer serve`."""

    @property
    def name(self) -> str:
        """Its name in records."""
        ...

    @property
    def restarts(self) -> int:
        """How often it was opened again."""
        ...

    @property
    def blind(self) -> str | None:
        """Why nothing can be seen, in words; else None."""
        ...

    @property
    def dropped(self) -> int:
        """Frames that were overwritten by newer ones."""
        ...

    @property
    def drops_frames(self) -> bool:
        """Whether it goes on by itself; if not, it is a file."""
        ...

    @property
    def condition(self) -> tuple[str, str]:
        """Its state and a sentence; the state `ended` is no state of a status."""
        ...

    def changes(self) -> Sequence[tuple[str, str]]:
        """All conditions since the last call, oldest first."""
        ...


class FaceReader(Protocol):
    """What reads faces."""

    @property
    def origin(self) -> Origin:
        """What reads faces now, and why it is not what should, if so."""
        ...

    @property
    def devices(self) -> Sequence[SupervisedDevice]:
        """The devices that may fail and come back."""
        ...


class FaceDetector(Protocol):
    """What finds faces."""

    @property
    def origin(self) -> Origin:
        """What made the last search, and why it was not what should, if so."""
        ...

    @property
    def reason(self) -> str | None:
        """Why the device that should make the next search does not; None when it does."""
        ...

    @property
    def devices(self) -> Sequence[SupervisedDevice]:
        """The devices that may fail and come back."""
        ...


class RunCondition:
    """How the parts of a run are now.

    Args:
        camera: where the work of the run comes from.
        model: what reads expressions.
        health: how hot the box is.
        deadlines: the deadlines of the calls under way, by loop.
        detector: what finds faces; None where they are found elsewhere.

    Attributes:
        camera: see above.
        health: see above.
        detector: see above.
    """

    def __init__(
        self,
        camera: RunSource,
        model: FaceReader,
        health: Health,
        deadlines: Mapping[Loop, Deadline | Heartbeat],
        detector: FaceDetector | None = None,
    ) -> None:
        self.camera, self.health, self.detector = camera, health, detector
        self._model, self._deadlines = model, deadlines

    @property
    def origin(self) -> Origin:
        """What reads faces now, and why it is not what should, if so."""
        return self._model.origin

    @property
    def recovery(self) -> dict[str, int]:
        """How often each step was taken to bring a device back."""
        return dict(sum((Counter(device.recovery) for device in self._devices), Counter()))

    @property
    def stuck(self) -> Loop | None:
        """Which loop is in a call that has outlived its deadline; None when all turn."""
        return next((name for name, deadline in self._deadlines.items() if deadline.missed), None)

    @property
    def trouble(self) -> str | None:
        """What is replaced or missing now, in words; None: nothing."""
        return self.origin.reason or self.detector_trouble or self.trouble_beside_devices

    @property
    def detector_trouble(self) -> str | None:
        """Why the device that should find faces does not, in words; None: it does."""
        return self.detector.reason if self.detector else None

    @property
    def trouble_beside_devices(self) -> str | None:
        """What is wrong besides the devices that read and find faces."""
        stuck = self.stuck
        return (stuck_sentence(stuck) if stuck else None) or self.health.reason or self.camera.blind

    def device_changes(self) -> Iterator[Change]:
        """What happened to the devices since the last call, oldest first of each; for one thread."""
        for device in self._devices:
            for _ in range(len(device.changes)):
                yield device.changes.popleft()

    @property
    def _devices(self) -> tuple[SupervisedDevice, ...]:
        return (*(self.detector.devices if self.detector else ()), *self._model.devices)

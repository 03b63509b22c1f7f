"""What finds the faces of a picture: one file or folder for each kind of detector, opened by its name.

A detector searches a whole picture. A kind may also have a follower, which finds faces again near the place where
they are expected, in a fraction of the time; without one every frame is searched.

The module of a kind has the functions `open_detector`, `open_follower`, `open_landmarks` and `chosen_networks`, with
the arguments of those below. Every face has landmarks: a detector whose network gives none takes them from MTCNN's
O-Net.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from types import TracebackType
from typing import Any, Protocol, TypeVar

from typing_extensions import Self

from edge_fer.inference.model_store import ModelStore
from edge_fer.inference.shared_tpu import SharedTpu
from edge_fer.inference.supervised import SupervisedDevice
from edge_fer.settings import DetectSettings, TrackSettings
from edge_fer.types import Box, Face, Image, Origin

_MODULES = {"mtcnn": "edge_fer.faces.detectors.mtcnn", "yolo": "edge_fer.faces.detectors.yolov3_tiny"}

Key = TypeVar("Key")


class _Opened(Protocol):
    """What holds networks until it is closed."""

    def close(self) -> None:
        """Free the networks; may be called again."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Detector(_Opened, Protocol):
    """Searches whole pictures for faces."""

    @property
    def origin(self) -> Origin:
        """What found the faces of the last picture, and why it was not what should; before the first, what would."""
        ...

    @property
    def reason(self) -> str | None:
        """Why the device that should search the next picture does not; None when it does; from any thread."""
        ...

    @property
    def devices(self) -> tuple[SupervisedDevice, ...]:
        """The supervised devices that it runs on, which may fail and come back; empty on the CPU."""
        ...

    def wait_until_opened(self, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Wait until the first attempt to open the devices is over, or until it is `cancelled`.

        Raises:
            BackendError: when a device that is named does not work.
        """
        ...

    def find(self, image: Image, *, landmarks: bool = True) -> tuple[Face, ...]:
        """Find the faces of one picture.

        Args:
            image: `(height, width, 3)` uint8, BGR, of any size.
            landmarks: whether they are needed; without, a detector whose network gives none leaves them `UNMEASURED`
                (`edge_fer.faces.coordinates`).

        Returns:
            At most `detect.max_faces` faces, best score first, in pixels of `image`; each score is above
            `detect.score`. An empty tuple where there is no face.

        Raises:
            BackendError: when a network fails.
        """
        ...


class Follower(_Opened, Protocol):
    """Finds faces again near the places where they are expected."""

    def follow(self, image: Image, expected: Mapping[Key, Box]) -> dict[Key, Face]:
        """Find each face near its place.

        Args:
            image: `(height, width, 3)` uint8, BGR, of any size.
            expected: where each face should be by now, by any key, pixels of `image`.

        Returns:
            The faces that were found, by the same keys, in pixels of `image`; each score is above `track.score`.

        Raises:
            BackendError: when a network fails.
        """
        ...


def open_detector(settings: DetectSettings, store: ModelStore, tpu: SharedTpu | None = None) -> Detector:
    """Load the networks of the kind of detector that the settings name.

    Args:
        settings: the detector's settings.
        store: the folder of networks.
        tpu: the Edge TPU that it uses; None: it runs on the CPU, or on the fake device where that is named.

    Raises:
        ModelError: when a network is missing, corrupt or not of this kind.
        BackendError: when the CPU cannot run one.
    """
    detector: Detector = _module(settings).open_detector(settings, store, tpu)
    return detector


def open_follower(settings: DetectSettings, track: TrackSettings, store: ModelStore) -> Follower | None:
    """Load the network that follows faces; None where this kind of detector has none.

    Args:
        settings: the detector's settings.
        track: the tracker's settings; `score` is the least score of a face that is followed.
        store: the folder of networks.

    Raises:
        ModelError: when the network is missing, corrupt or not of this kind.
        BackendError: when the CPU cannot run it.
    """
    follower: Follower | None = _module(settings).open_follower(settings, track, store)
    return follower


def open_landmarks(settings: DetectSettings, store: ModelStore) -> Follower | None:
    """Load the network that finds landmarks in boxes, whatever they show; None where the detector's own gives them.

    Args:
        settings: the detector's settings.
        store: the folder of networks.

    Raises:
        ModelError: when the network is missing, corrupt or not of this kind.
        BackendError: when the CPU cannot run it.
    """
    network: Follower | None = _module(settings).open_landmarks(settings, store)
    return network


def chosen_networks(settings: DetectSettings, store: ModelStore) -> tuple[str, ...]:
    """Names in the manifest of the networks that `open_detector` loads.

    Args:
        settings: the detector's settings.
        store: the folder of networks.

    Raises:
        ModelError: when a network is missing or corrupt.
        BackendError: when the CPU cannot run one.
    """
    names: tuple[str, ...] = _module(settings).chosen_networks(settings, store)
    return names


def _module(settings: DetectSettings) -> Any:
    return import_module(_MODULES[settings.kind])

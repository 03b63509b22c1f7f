"""Which device searches a picture, and what happens when it fails: the CPU searches the same picture at once.

    picture -> the Edge TPU -> maps
                 | away, failed now, or caught at a wrong answer
                 '-> the CPU -> maps, with the reason in the origin

The Edge TPU is in service once it has seen the golden pictures as the CPU does; after that, one picture in
`check_every` is searched on both. The CPU's network is kept ready, so that no search waits for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace

from edge_fer.common.closeable import Closeable
from edge_fer.errors import BackendError
from edge_fer.faces.detectors.yolov3_tiny.letterbox import letterbox
from edge_fer.faces.detectors.yolov3_tiny.network import Maps, YoloNetwork, agree
from edge_fer.inference import Backend
from edge_fer.inference.manifest_detect import DetectorSpec
from edge_fer.inference.supervised import SupervisedDevice
from edge_fer.synthetic.scenes import crowd_scene
from edge_fer.types import Image, Origin

_GOLDEN_SEEDS = (3, 5)

_log = logging.getLogger(__name__)


class FailoverNetwork(Closeable):
    """The network on a supervised device, and on the CPU while that is out of service; for one thread at a time.

    Args:
        network: on the device.
        device: the same device.
        fallback: the network on the CPU.
        check_every: every so many pictures one is searched on both; 0: never.
        tolerance: largest difference of a value between devices that see the same, 0..1.
        held: all of them, closed with this.

    Attributes:
        devices: the device.
    """

    def __init__(
        self,
        network: YoloNetwork,
        device: SupervisedDevice,
        fallback: YoloNetwork,
        check_every: int,
        tolerance: float,
        held: ExitStack,
    ) -> None:
        self.devices, self._held = (device,), held
        self._network, self._device, self._fallback = network, device, fallback
        self._check_every, self._tolerance, self._searched = check_every, tolerance, 0

    @property
    def origin(self) -> Origin:
        """What searches the next picture, and why it is not what should, if so; from any thread."""
        reason = self._device.reason
        return self._network.origin if reason is None else self._on_cpu(reason)

    def search(self, image: Image) -> tuple[Maps, Origin]:
        """Run the network on one picture; a device's failure is no error here.

        Args:
            image: `(size, size, 3)` uint8, BGR.

        Returns:
            The maps, and what gave them.

        Raises:
            BackendError: when the CPU fails, too.
        """
        reason = self._device.reason
        if reason is not None:
            return self._fallback.maps(image), self._on_cpu(reason)
        try:
            maps = self._network.maps(image)
        except BackendError as error:
            return self._fallback.maps(image), self._on_cpu(str(error))
        self._searched += 1
        if not self._check_every or self._searched % self._check_every:
            return maps, self._network.origin
        expected = self._fallback.maps(image)
        if agree(maps, expected, self._tolerance):
            return maps, self._network.origin
        wrong = f"{self._device.name} saw otherwise than the CPU"
        self._device.mark_unhealthy(wrong)
        return expected, self._on_cpu(wrong)

    def wait_until_opened(self, cancelled: Callable[[], bool], *, needed: bool) -> None:
        """Wait until the first attempt to open the device is over.

        Args:
            cancelled: when true, nothing is waited for.
            needed: whether the device must be there now, since the settings name it.

        Raises:
            BackendError: when it is needed and does not work.
        """
        self._device.wait_until_opened(cancelled)
        reason = self._device.reason
        if reason is None or cancelled():
            return
        if needed:
            raise BackendError(reason)
        _log.warning("faces are searched on the CPU until %s is well: %s", self._device.name, reason)

    def close(self) -> None:
        """Give the device back, and free the CPU's network."""
        self._held.close()

    def _on_cpu(self, reason: str) -> Origin:
        return replace(self._fallback.origin, reason=reason)


def golden_pictures(size: int) -> tuple[Image, ...]:
    """Pictures that every device has to see alike: faces at places that differ, the same on every machine.

    Args:
        size: side of the network's input, pixels.

    Returns:
        Each `(size, size, 3)` uint8, BGR.
    """
    scenes = (crowd_scene(seed=seed, faces=2, frames=1) for seed in _GOLDEN_SEEDS)
    return tuple(letterbox(scene.render(0), size).image for scene in scenes)


def golden_check(
    model: str, spec: DetectorSpec, twin: YoloNetwork, pictures: Sequence[Image]
) -> Callable[[Backend], None]:
    """A check that a device sees the golden pictures as the CPU does.

    Args:
        model: the network's name in the manifest.
        spec: what the manifest says of it.
        twin: the network on the CPU; the check does not use it any more.
        pictures: the golden pictures.
    """
    golden = [(picture, twin.maps(picture)) for picture in pictures]

    def check(backend: Backend) -> None:
        network = YoloNetwork(model, spec, backend)
        if not all(agree(network.maps(picture), maps, spec.failover.tolerance) for picture, maps in golden):
            raise BackendError(f"expected {backend.name} to see the golden pictures as the CPU does, found otherwise")

    return check

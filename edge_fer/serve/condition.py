"""The server's clients and devices, as statuses see them."""

from __future__ import annotations

from collections.abc import Sequence

from edge_fer.inference.supervised import SupervisedBackend
from edge_fer.serve.admission import Counts
from edge_fer.serve.networks import ServedNetwork
from edge_fer.types import Origin


class Clients:
    """The clients as statuses see them; see `edge_fer.status.run_condition.RunSource`.

    Args:
        name: of the place where they connect.
        counts: what they have done.

    Attributes:
        name: see above.
        restarts: how often the server was started again.
        waiting: why they cannot connect; None while they can.
    """

    blind: str | None = None
    drops_frames = True

    def __init__(self, name: str, counts: Counts) -> None:
        self.name, self.restarts = name, 0
        self.waiting: str | None = "the server is being started"
        self._counts = counts

    @property
    def dropped(self) -> int:
        """Faces that were not read before their deadline."""
        return self._counts.late

    @property
    def condition(self) -> tuple[str, str]:
        """Whether clients can connect; how many do changes too often for a sentence."""
        return ("running", "reading faces for other computers") if self.waiting is None else ("degraded", self.waiting)

    def changes(self) -> Sequence[tuple[str, str]]:
        """None: whether clients come and go is no change of state."""
        return ()


class Devices:
    """All devices of all networks; see `edge_fer.status.run_condition.FaceReader`.

    Args:
        model: the name of the classifier or ensemble.
        networks: the networks.
    """

    def __init__(self, model: str, networks: Sequence[ServedNetwork]) -> None:
        self._model, self._networks = model, networks
        self.devices: tuple[SupervisedBackend, ...] = tuple(
            device for network in networks for device in network.supervised
        )

    @property
    def origin(self) -> Origin:
        """What runs the networks now; and which device is away, and why."""
        origins = [network.origin for network in self._networks]
        backends = dict.fromkeys(origin.backend for origin in origins)
        return Origin(self._model, "+".join(backends), next((one.reason for one in origins if one.reason), None))

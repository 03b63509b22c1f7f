"""Which device reads faces, and what happens when it fails: the CPU reads the same face at once.

    face -> a free device in service -> expression
                 | away, failed now, or caught at a wrong answer
                 '-> the CPU         -> expression with the reason in its `origin`

A device, an Edge TPU or another computer, is in service once it has read its golden faces as the CPU does, so that
garbage is not trusted; after that, one face in `classify.check_every` is read on both. The CPU's network is kept ready,
so that the first face without the device does not wait for it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from edge_fer.errors import BackendError
from edge_fer.expression import ExpressionModel
from edge_fer.expression.classifier import Classifier
from edge_fer.expression.preprocessing import fit
from edge_fer.inference.supervised import SupervisedDevice
from edge_fer.types import AlignedFace, Expression, Origin

_log = logging.getLogger(__name__)


class Failover(ExpressionModel):
    """Reads faces on one or several supervised devices, and on the CPU while none of them is in service.

    Args:
        readers: a classifier and its device each.
        fallback: the classifier on the CPU.
        check_every: every so many faces one is read on both; 0: never.
        tolerance: largest difference of a probability between devices that read a face alike, 0..1.
        held: all of them, closed with this.
    """

    def __init__(
        self,
        readers: Sequence[tuple[Classifier, SupervisedDevice]],
        fallback: Classifier,
        check_every: int,
        tolerance: float,
        held: ExitStack,
    ) -> None:
        first = readers[0][0]
        self.size, self.colour, self.crop = first.size, first.colour, first.crop
        self.parallel = len(readers)
        self.devices = tuple(device for _, device in readers)
        self._readers, self._fallback, self._held = tuple(readers), fallback, held
        self._check_every, self._tolerance = check_every, tolerance
        self._free = list(self._readers)
        self._read = 0
        self._changed, self._cpu = threading.Condition(), threading.Lock()

    @property
    def origin(self) -> Origin:
        """What reads faces now: the first device in service, else the CPU; and which device is away, and why."""
        reasons = [device.reason for _, device in self._readers]
        pairs = zip(self._readers, reasons, strict=True)
        reader = next((reader for (reader, _), reason in pairs if reason is None), self._fallback)
        return Origin(reader.model, reader.backend, next(filter(None, reasons), None))

    def classify(self, face: AlignedFace) -> Expression:
        """Read one face; see `ExpressionModel.classify`. A device's failure is no error here."""
        with self._lease() as leased:
            if isinstance(leased, str):
                return self._read_on_cpu(face, leased)
            reader, device = leased
            try:
                expression = reader.classify(face)
            except BackendError as error:
                return self._read_on_cpu(face, str(error))
            if not self._is_sample():
                return expression
            wrong = f"{device.name} read a face otherwise than the CPU"
            expected = self._read_on_cpu(face, wrong)
            if agree(expression, expected, self._tolerance):
                return expression
            device.mark_unhealthy(wrong)
            return expected

    def close(self) -> None:
        """Give all devices back, whichever fails."""
        self._held.close()

    @contextmanager
    def _lease(self) -> Iterator[tuple[Classifier, SupervisedDevice] | str]:
        """A device in service for one face, waiting for one that is busy; while there is none, why."""
        with self._changed:
            while True:
                reasons = [device.reason for _, device in self._readers]  # once: a device may come back meanwhile
                ready = [pair for pair, reason in zip(self._readers, reasons, strict=True) if reason is None]
                pair = next((pair for pair in ready if pair in self._free), None)
                if pair is not None or not ready:
                    break
                self._changed.wait()
            if pair is not None:
                self._free.remove(pair)
        try:
            yield pair or str(reasons[0])
        finally:
            if pair is not None:
                with self._changed:
                    self._free.append(pair)
                    self._changed.notify_all()

    def _is_sample(self) -> bool:
        with self._changed:
            self._read += 1
            return self._check_every > 0 and self._read % self._check_every == 0

    def _read_on_cpu(self, face: AlignedFace, reason: str | None) -> Expression:
        with self._cpu:  # an interpreter is for one thread
            expression = self._fallback.classify(fit(face, self._fallback.size, colour=self.colour))
        return replace(expression, origin=Origin(self._fallback.model, self._fallback.backend, reason))


def agree(one: Expression, other: Expression, tolerance: float) -> bool:
    """Whether two devices read a face alike: no probability differs by more than `tolerance`."""
    return max(abs(p - q) for p, q in zip(one.probabilities, other.probabilities, strict=True)) <= tolerance

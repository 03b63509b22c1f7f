"""Several models that read each face together: the weighted mean of their probabilities.

    face -> lane 1: member, member, ...  -> expressions -> weighted mean -> temperature -> expression
        '-> lane 2: member               -'

A lane is a device: members on the processor read one after the other, and each member with an Edge TPU of its own reads
beside them, so that a face takes as long as the slowest lane. A member whose devices are all away takes no part until
one is back: its weight is shared out among the others, and the expression says why. While the machine is hot, only the
first member reads that can, which is the best one.

Kumari, EmoNet: the mean is weighted, and the weights are chosen on validation faces (`edge-fer lab ensemble`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_fer.errors import BackendError, ModelError
from edge_fer.expression import ExpressionModel
from edge_fer.expression.preprocessing import fit
from edge_fer.inference.manifest import EnsembleSpec, crop_difference
from edge_fer.types import AlignedFace, Expression, Origin


class _Member(NamedTuple):
    name: str
    model: ExpressionModel
    weight: float

    @property
    def is_away(self) -> bool:
        """Whether none of its devices is in service."""
        return bool(self.model.devices) and all(device.reason is not None for device in self.model.devices)


Answer = Expression | BackendError
"""What a member made of a face."""


class Ensemble(ExpressionModel):
    """Several models that read each face together.

    Args:
        name: its name in the manifest.
        spec: what the manifest says of it.
        models: one for each of its members, in their order; closed with the ensemble.
        is_hot: asked before each face whether only the best member should read it.

    Attributes:
        model: its name in the manifest; the other attributes are those of `ExpressionModel`.

    Raises:
        ModelError: when the members take faces that are cut out differently.
    """

    def __init__(
        self,
        name: str,
        spec: EnsembleSpec,
        models: Sequence[ExpressionModel],
        is_hot: Callable[[], bool] = lambda: False,
    ) -> None:
        total = sum(member.weight for member in spec.members)
        pairs = zip(spec.members, models, strict=True)
        self.model, self._is_hot = name, is_hot
        self._members = tuple(_Member(member.name, model, member.weight / total) for member, model in pairs)
        difference = crop_difference({member.name: member.model.crop for member in self._members})
        if difference is not None:
            raise ModelError(f"`{name}`: expected {difference}; leave one out")
        self._temperature, self._abstain_below = spec.temperature, spec.abstain_below
        self.size, self.crop = max(model.size for model in models), models[0].crop
        self.colour = any(model.colour for model in models)
        self.parallel = min(model.parallel for model in models)
        self.devices = tuple(device for model in models for device in model.devices)

    @property
    def origin(self) -> Origin:
        """What reads faces now; and which member takes no part, and why."""
        readers, reason = self._readers()
        return self._origin(readers, [member.model.origin for member in readers], reason)

    def classify(self, face: AlignedFace) -> Expression:
        """Read one face; see `ExpressionModel.classify`. It fails when every member that takes part does."""
        readers, reason = self._readers()
        answers = self._read(readers, face)
        read = [(member, answer) for member in readers if isinstance(answer := answers[member.name], Expression)]
        for member in readers:
            if isinstance(error := answers[member.name], BackendError):
                if not read:
                    raise error
                reason = reason or _left_out(member, str(error))
        members, expressions = [member for member, _ in read], [expression for _, expression in read]
        origins = [expression.origin or member.model.origin for member, expression in read]
        origin = self._origin(members, origins, reason)
        if len(read) == 1 < len(self._members):
            return replace(expressions[0], origin=origin)
        weights = [member.weight for member in members]
        probabilities = combine([one.probabilities for one in expressions], weights, self._temperature)
        return Expression(tuple(probabilities.tolist()), origin, self._abstain_below)

    def forget(self, ids: frozenset[int]) -> None:
        """Drop what members remember of these tracks."""
        for member in self._members:
            member.model.forget(ids)

    def close(self) -> None:
        """Close all members, whichever fails."""
        with ExitStack() as stack:
            for member in self._members:
                stack.callback(member.model.close)

    def _readers(self) -> tuple[list[_Member], str | None]:
        """The members that read the next face, and why these are not all; one at least, whose device may be away."""
        away = [member for member in self._members if member.is_away]
        here = [member for member in self._members if member not in away]
        if not here:
            return [self._members[0]], None
        reason = next((_left_out(member, member.model.origin.reason) for member in away), None)
        if len(here) > 1 and self._is_hot():
            return here[:1], reason or f"only `{here[0].name}` reads faces while the machine is hot"
        return here, reason

    def _origin(self, members: Sequence[_Member], origins: Sequence[Origin], reason: str | None) -> Origin:
        """What reads, or has read: the ensemble, or the one member of it."""
        backends = dict.fromkeys(origin.backend for origin in origins)
        reason = reason or next((origin.reason for origin in origins if origin.reason is not None), None)
        model = origins[0].model if len(members) == 1 < len(self._members) else self.model
        return Origin(model, "+".join(backends), reason)

    def _read(self, members: Sequence[_Member], face: AlignedFace) -> dict[str, Answer]:
        """What each member makes of a face, by its name."""
        lanes = [[member for member in members if not member.model.devices]]
        lanes = [lane for lane in [*lanes, *([member] for member in members if member.model.devices)] if lane]
        beside = [_run_beside(lane, face) for lane in lanes[1:]]
        answers = _read_in_turn(lanes[0], face)
        for lane in beside:
            answers |= lane.result()
        return answers


def combine(rows: Sequence[Sequence[float]], weights: Sequence[float], temperature: float) -> NDArray[np.float64]:
    """The weighted mean of several probabilities of the same labels, at a temperature.

    Args:
        rows: probabilities, each row summing to 1.
        weights: of the rows; scaled to a sum of 1.
        temperature: logarithms of the mean are divided by it.

    Returns:
        `(labels,)`, summing to 1; a single row at temperature 1 as it is.
    """
    if len(rows) == 1 and temperature == 1:
        return np.array(rows[0], np.float64)
    shares = np.array(weights, np.float64) / sum(weights)
    mean = shares @ np.array(rows, np.float64)
    powers = mean ** (1 / temperature)
    return np.asarray(powers / powers.sum())


def _left_out(member: _Member, why: str | None) -> str:
    return f"`{member.name}` is left out: {why}"


def _read_in_turn(members: Sequence[_Member], face: AlignedFace) -> dict[str, Answer]:
    """What members on one device make of a face, by name; a device that fails is no error here."""
    answers: dict[str, Answer] = {}
    for member in members:
        model = member.model
        try:
            answers[member.name] = model.classify(fit(face, model.size, colour=model.colour))
        except BackendError as error:
            answers[member.name] = error
    return answers


def _run_beside(members: Sequence[_Member], face: AlignedFace) -> Future[dict[str, Answer]]:
    """Have members read a face in a thread of their own, which does not keep the program from ending."""
    future: Future[dict[str, Answer]] = Future()

    def run() -> None:
        try:
            future.set_result(_read_in_turn(members, face))
        except Exception as error:  # raised where the result is used
            future.set_exception(error)

    threading.Thread(target=run, name="ensemble", daemon=True).start()
    return future

"""What a child process may reply: the result of a call is checked against a record before it is used."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, ValidationError
from typing_extensions import Self

from edge_fer.common.text import first_problem, printable
from edge_fer.errors import WorkerCrashed

_SHOWN = 200  # characters of what is wrong with a reply


class Reply(BaseModel):
    """Base of these records: names and types must be exact, and numbers finite.

    Fields that hold numbers, texts or lists state their bounds.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def of(cls, reply: Mapping[str, object]) -> Self:
        """The record that a reply holds.

        Args:
            reply: what `Worker.start` or `Worker.call` returned.

        Raises:
            WorkerCrashed: when it is something else.
        """
        try:
            return cls.model_validate(reply)
        except ValidationError as error:
            where, what = first_problem(error)
            raise WorkerCrashed(printable(f"the child process gave a wrong reply: {where}: {what}")[:_SHOWN]) from error

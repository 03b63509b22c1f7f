"""What a film says of itself in its comment: which run it is of, and whether anything was drawn into it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Content = Literal["plain", "drawn", "hidden"]
"""What a film's pictures show: what the camera saw, boxes and labels over it, or no faces that can be recognised."""


class Provenance(BaseModel):
    """Where a film comes from.

    Attributes:
        schema_: name and version of this record.
        run: UUID of the run.
        frame: id of the frame that the first picture shows.
        content: what its pictures show.
    """

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    schema_: Literal["edge-fer/recording/1"] = Field("edge-fer/recording/1", alias="schema")
    run: str
    frame: int
    content: Content

    def comment(self) -> str:
        """As text, for a film's comment."""
        return self.model_dump_json(by_alias=True)


def parse_comment(comment: str) -> Provenance | None:
    """What a film's comment says; None where it is none of ours.

    Args:
        comment: the comment.
    """
    try:
        return Provenance.model_validate_json(comment)
    except ValidationError:
        return None

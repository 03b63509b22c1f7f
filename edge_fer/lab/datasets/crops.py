"""The record that `edge-fer lab faces` leaves beside the faces it cut: `edge-fer/crops/1`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_fer.common.text import first_problem
from edge_fer.errors import SourceError
from edge_fer.inference.manifest_parts import CropSpec
from edge_fer.lab.datasets.dataset import reading
from edge_fer.types import Label

CROPS = "crops.json"


class Crops(BaseModel):
    """How faces were cut out of photos, and what became of the photos.

    Attributes:
        schema_: name and version of this record.
        classifier: whose crop it is, by its name in the manifest.
        crop: where the eyes are, and how fine the faces were sampled.
        size: side of the faces, pixels.
        photos: how many photos were searched.
        faces: how many were cut out, by split and label.
        drawn: splits that the photos did not come with.
        bordered: faces that were found only with a border around the photo.
        several: photos with more than one face, of which the largest was taken.
        left_out: photos without a face among `faces`, by reason.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_: Literal["edge-fer/crops/1"] = Field("edge-fer/crops/1", alias="schema")
    classifier: str
    crop: CropSpec
    size: int = Field(gt=0)
    photos: int
    faces: dict[str, dict[Label, int]]
    drawn: tuple[str, ...]
    bordered: int
    several: int
    left_out: dict[str, int]


def read_crops(folder: Path) -> Crops | None:
    """The record in a folder; None where there is none.

    Raises:
        SourceError: when it is damaged.
    """
    path = folder / CROPS
    if not path.is_file():
        return None
    with reading(path, "the record of how faces were cut"):
        content = path.read_text(encoding="utf-8")
    try:
        return Crops.model_validate_json(content)
    except ValidationError as error:
        where, what = first_problem(error)
        raise SourceError(
            f"expected what `edge-fer lab faces` writes in {path}, found at {where}: {what}; cut the faces again"
        ) from error

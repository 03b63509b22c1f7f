"""What an export of a detector measured, as JSON: with evaluations the only source of its card's numbers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edge_fer.lab.evaluation.detection_record import DetectorResult
from edge_fer.lab.files import Record
from edge_fer.lab.weights.provenance import Provenance


class DetectorExport(Record):
    """What an export of a detector measured: the record `edge-fer/detector-export/1`.

    Attributes:
        schema_: name and version of this record.
        sha256: of the file.
        provenance: what is stated of the weights.
        network: its full name and publication.
        width: factor on the channels of its layers.
        parameters: how many trained numbers it has.
        operators: of the file, with their counts.
        percentile: how far the ranges reach.
        calibrated_on: training pictures that they were measured on.
        chosen_on: validation pictures that ranges, score and temperature were chosen on.
        candidates: mean average precision of each percentile there; of float32 as `float32`.
        dataset: other validation pictures, which both were measured on, in words.
        pictures: how many.
        float32: the network before quantization there.
        int8: the file there.
    """

    schema_: Literal["edge-fer/detector-export/1"] = Field("edge-fer/detector-export/1", alias="schema")
    sha256: str
    provenance: Provenance
    network: str
    width: float
    parameters: int
    operators: str
    percentile: float
    calibrated_on: int
    chosen_on: int
    candidates: dict[str, float | None]
    dataset: str
    pictures: int
    float32: DetectorResult
    int8: DetectorResult

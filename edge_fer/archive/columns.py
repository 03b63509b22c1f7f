"""The columns of the tables: the one definition for Parquet, JSON lines and docs/archive.md."""

from __future__ import annotations

from typing import Literal, NamedTuple

from edge_fer.types import LABELS

Kind = Literal["text", "int32", "int64", "float32", "float64", "moment"]
"""`text` is one of few texts, `moment` milliseconds since 1970 (UTC)."""


class Column(NamedTuple):
    """One column.

    Attributes:
        name: its name.
        kind: of its values.
        unit: their unit; empty where they have none.
        meaning: one sentence.
        optional: whether a value may be missing.
    """

    name: str
    kind: Kind
    unit: str
    meaning: str
    optional: bool = False


_RECORDING = Column("recording", "text", "", "name of the recording: its path below the folder that was named")
_SHARES = "part of the track's time during which this was shown"


def _probabilities(meaning: str) -> tuple[Column, ...]:
    return tuple(Column(f"p_{label}", "float32", "0..1", f"{meaning} {label}") for label in LABELS)


FRAMES = (
    _RECORDING,
    Column("frame", "int64", "", "number of the frame in the film, from 0"),
    Column("position_ms", "float64", "ms", "presentation time, from the beginning of the film"),
    Column("lasted_ms", "float64", "ms", "since the frame before, of those that were read; 0 for the first"),
    Column("filmed_at", "moment", "UTC", "when it was filmed, by the time that the film states", optional=True),
    Column("faces", "int32", "", "faces in it: so many rows of the table `faces`"),
)
"""Every frame that was read, with faces or without."""

FACES = (
    *FRAMES[:5],
    Column("track", "int32", "", "the same number for the same face, from 1 in every recording"),
    Column("x", "float32", "px", "left edge of the box, in the upright frame"),
    Column("y", "float32", "px", "upper edge of the box"),
    Column("width", "float32", "px", "width of the box"),
    Column("height", "float32", "px", "height of the box"),
    Column("score", "float32", "0..1", "how certain the detector is that this is a face"),
    Column("label", "text", "", "the expression, steadied over time; missing where it would be a guess", optional=True),
    Column("confidence", "float32", "0..1", "probability of the label, or of the one that is withheld, steadied"),
    Column("why", "text", "", "why there is no label", optional=True),
    *_probabilities("calibrated probability, of this frame alone, of"),
    Column("yaw", "float32", "degrees", "turn of the head to the side, positive to the right of the picture"),
    Column("pitch", "float32", "degrees", "turn of the head up or down, positive is down"),
    Column("roll", "float32", "degrees", "tilt of the head, positive is clockwise in the picture"),
    Column("eye_distance", "float32", "px", "between the eyes"),
    Column("blur", "float32", "part of the crop's side", "width of its edges: 0.02 is sharp"),
)
"""A row for each face in each frame."""

TRACKS = (
    _RECORDING,
    Column("track", "int32", "", "its number, as in `faces`"),
    Column("first_frame", "int64", "", "the first frame that shows it"),
    Column("last_frame", "int64", "", "the last frame that shows it"),
    Column("first_ms", "float64", "ms", "presentation time of the first one"),
    Column("last_ms", "float64", "ms", "presentation time of the last one"),
    Column("frames_seen", "int64", "", "so many rows of `faces`"),
    Column("frames_good", "int64", "", "so many of them are good enough to read an expression from"),
    Column("label", "text", "", "the expression of the whole track; missing where it would be a guess", optional=True),
    Column("confidence", "float32", "0..1", "probability of the label, or of the one that is withheld"),
    *(column._replace(optional=True) for column in _probabilities("mean of its good frames for")),
    *(Column(f"share_{label}", "float32", "0..1", f"{_SHARES}: {label}") for label in LABELS),
    Column("withheld", "float32", "0..1", f"{_SHARES}: no label"),
    Column("yaw", "float32", "degrees", "turn of the head to the side, on average"),
    Column("pitch", "float32", "degrees", "turn of the head up or down, on average"),
    Column("roll", "float32", "degrees", "tilt of the head, on average"),
    Column("best_frame", "int64", "", "the frame that shows it best: large, sharp, from the front"),
)
"""A row for each track: a face while it is in view. Made of the rows of `faces`."""

TABLES = {"frames": FRAMES, "faces": FACES, "tracks": TRACKS}
"""The tables of a recording, by name."""

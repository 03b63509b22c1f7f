"""The payload of MAVLink's TUNNEL message: one face of one frame, in 58 bytes, little endian, packed.

A receiver needs this module and nothing else of the package:

    from edge_fer.publish.mavlink.tunnel import PAYLOAD_TYPE, decode

Later versions append fields and raise `version`; the fields of this version stay where they are, so a decoder of
version 1 reads the payload of every later one.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Literal, get_args

from edge_fer.schema import FaceReading, Reading
from edge_fer.types import LABELS, Box, Label, Why

PAYLOAD_TYPE = 0xFE01
"""`TUNNEL.payload_type`, in the range for private use (32768 and above)."""

VERSION = 1
"""Version of the layout, its first byte."""

LAYOUT: tuple[tuple[str, str], ...] = (
    ("version", "B"),
    ("flags", "B"),
    ("faces", "B"),
    ("label", "B"),
    ("why", "B"),
    ("confidence", "B"),
    ("score", "B"),
    ("probabilities", "7s"),
    ("age_ms", "H"),
    ("run", "I"),
    ("frame", "I"),
    ("id", "I"),
    ("label_age_ms", "H"),
    ("x", "h"),
    ("y", "h"),
    ("width", "H"),
    ("height", "H"),
    ("frame_width", "H"),
    ("frame_height", "H"),
    ("captured_us", "Q"),
    ("fc_captured_us", "Q"),
)
"""Name and type (as in `struct`) of each field, in order."""

_STRUCT = struct.Struct("<" + "".join(code for _, code in LAYOUT))
SIZE = _STRUCT.size
"""Bytes of a payload of this version."""

NO_LABEL = 0xFF
"""In `label`: there is none."""

_DEGRADED, _CLOCK_SYNCED, _FC_CLOCK, _READ = 1, 2, 4, 8  # bits of `flags`
_NO_NUMBER = 0xFF  # in `why`: a reason without a number
_UNKNOWN_AGE = 0xFFFF
_WHYS: tuple[Why, ...] = get_args(Why)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True, slots=True, kw_only=True)
class TunnelFace:
    """One face of one frame; names and meanings are those of `edge_fer.schema.Reading` unless stated here.

    Attributes:
        run: CRC-32 (zlib's) of the run's UUID as text; it changes with each start.
        frame: the frame's id, modulo 2**32.
        faces: how many faces the frame has, 255 at most.
        captured_us: capture time by the box's wall clock, microseconds since 1970; see `clock_synced`.
        clock_synced: whether that clock is set from a network, GPS or another reference.
        fc_captured_us: capture time by the flight controller's own clock, microseconds, usually since its boot; None
            while the clocks are not synchronised.
        age_ms: time from capture until this was sent, milliseconds, 65535 at most.
        degraded: whether something is replaced or missing.
        size: width and height of the frame, pixels.
        id: the track's id, modulo 2**32.
        box: the face's box, whole pixels.
        score: the detector's score, 0..1 in steps of 1/255, like the next two.
        label: the label; None when the runtime abstains.
        confidence: probability of `label`, or of the label that is withheld; 0 for a face that was not read yet.
        probabilities: calibrated and unsmoothed, one for each of the seven labels; empty when not read yet.
        label_age_ms: age of the picture that the label was read from when this was sent, milliseconds, 65534 at most;
            None when not read yet.
        why: the reason for abstaining, else None; `other` for a reason that has no number in this version.
    """

    run: int
    frame: int
    faces: int
    captured_us: int
    clock_synced: bool
    fc_captured_us: int | None
    age_ms: int
    degraded: bool
    size: tuple[int, int]
    id: int
    box: Box
    score: float
    label: Label | None
    confidence: float
    probabilities: dict[Label, float]
    label_age_ms: int | None
    why: Why | Literal["other"] | None


def tunnel_face(reading: Reading, face: FaceReading, now_ns: int, offset_ns: int | None) -> TunnelFace:
    """Make the record of a face that is sent.

    Args:
        reading: the reading of the frame.
        face: one of its faces.
        now_ns: when it is sent, CLOCK_MONOTONIC, nanoseconds.
        offset_ns: the flight controller's clock less CLOCK_MONOTONIC, nanoseconds; None while that is unknown.
    """
    age_ms = (now_ns - reading.captured_ns) / 1e6
    waited_ms = age_ms - reading.age_ms  # since it was published; its other ages are as of then
    fc_captured_us = None if offset_ns is None else (reading.captured_ns + offset_ns) // 1000
    return TunnelFace(
        run=zlib.crc32(reading.run.encode()),
        frame=reading.frame,
        faces=len(reading.faces),
        captured_us=microseconds(reading.captured_at),
        clock_synced=reading.clock_synced,
        # A flight controller that started after the capture has no time for that moment.
        fc_captured_us=fc_captured_us if fc_captured_us is not None and fc_captured_us > 0 else None,
        age_ms=round(age_ms),
        degraded=reading.degraded,
        size=reading.size,
        id=face.id,
        box=face.box,
        score=face.score,
        label=face.label,
        confidence=face.confidence,
        probabilities=face.probabilities,
        label_age_ms=None if face.label_age_ms is None else round(face.label_age_ms + waited_ms),
        why=face.why,
    )


def encode(face: TunnelFace) -> bytes:
    """Encode the payload, `SIZE` bytes; a value outside a field's range becomes the nearest inside.

    Args:
        face: the record.
    """
    on_fc_clock = face.fc_captured_us is not None
    flags = (
        _DEGRADED * face.degraded
        | _CLOCK_SYNCED * face.clock_synced
        | _FC_CLOCK * on_fc_clock
        | _READ * bool(face.probabilities)
    )
    return _STRUCT.pack(
        VERSION,
        flags,
        within(face.faces, 0, 0xFF),
        NO_LABEL if face.label is None else LABELS.index(face.label),
        0 if face.why is None else _WHYS.index(face.why) + 1 if face.why in _WHYS else _NO_NUMBER,
        share_byte(face.confidence),
        share_byte(face.score),
        bytes(share_byte(face.probabilities.get(label, 0.0)) for label in LABELS),
        within(face.age_ms, 0, 0xFFFF),
        face.run % 2**32,
        face.frame % 2**32,
        face.id % 2**32,
        _UNKNOWN_AGE if face.label_age_ms is None else within(face.label_age_ms, 0, _UNKNOWN_AGE - 1),
        within(face.box.x, -(2**15), 2**15 - 1),
        within(face.box.y, -(2**15), 2**15 - 1),
        within(face.box.width, 0, 0xFFFF),
        within(face.box.height, 0, 0xFFFF),
        within(face.size[0], 0, 0xFFFF),
        within(face.size[1], 0, 0xFFFF),
        within(face.captured_us, 0, 2**64 - 1),
        within(face.fc_captured_us or 0, 0, 2**64 - 1),
    )


def decode(payload: Iterable[int]) -> TunnelFace:
    """Decode a payload of this version or a later one.

    Args:
        payload: `TUNNEL.payload`, as bytes or as pymavlink's list of numbers, with or without the zeros that fill it.

    Raises:
        ValueError: when it is no such payload: too short, or with a version or label that does not exist.
    """
    content = bytes(payload)
    if len(content) < SIZE or content[0] < VERSION:
        version = content[0] if content else "none"
        raise ValueError(
            f"expected a face in {SIZE} bytes or more, version {VERSION} or later, found {len(content)} bytes, version "
            f"{version}; is it of payload type {PAYLOAD_TYPE}?"
        )
    read = dict(zip((name for name, _ in LAYOUT), _STRUCT.unpack_from(content), strict=True))
    flags, why, label_age_ms = read["flags"], read["why"], read["label_age_ms"]
    probabilities = {name: read_share(p) for name, p in zip(LABELS, read["probabilities"], strict=True)}
    return TunnelFace(
        run=read["run"],
        frame=read["frame"],
        faces=read["faces"],
        captured_us=read["captured_us"],
        clock_synced=bool(flags & _CLOCK_SYNCED),
        fc_captured_us=read["fc_captured_us"] if flags & _FC_CLOCK else None,
        age_ms=read["age_ms"],
        degraded=bool(flags & _DEGRADED),
        size=(read["frame_width"], read["frame_height"]),
        id=read["id"],
        box=Box(read["x"], read["y"], read["width"], read["height"]),
        score=read_share(read["score"]),
        label=read_label(read["label"]),
        confidence=read_share(read["confidence"]),
        probabilities=probabilities if flags & _READ else {},
        label_age_ms=None if label_age_ms == _UNKNOWN_AGE else label_age_ms,
        why=None if why == 0 else _WHYS[why - 1] if why <= len(_WHYS) else "other",
    )


def microseconds(at: str) -> int:
    """A moment of a record, UTC in ISO 8601, as microseconds since 1970."""
    return (datetime.fromisoformat(at.replace("Z", "+00:00")) - _EPOCH) // timedelta(microseconds=1)


def share_byte(share: float) -> int:
    """A share, 0..1, in steps of 1/255."""
    return within(share * 255, 0, 255)


def read_share(value: int) -> float:
    """The share, 0..1, that a byte stands for."""
    return value / 255


def read_label(number: int) -> Label | None:
    """The label that a byte stands for; None: there is none.

    Raises:
        ValueError: when there is no such label.
    """
    if number != NO_LABEL and number >= len(LABELS):
        raise ValueError(f"expected a label below {len(LABELS)}, or {NO_LABEL} for none, found {number}")
    return None if number == NO_LABEL else LABELS[number]


def within(value: float, least: int, most: int) -> int:
    """The nearest whole number within a range."""
    return min(max(round(value), least), most)

"""The payload of MAVLink's TUNNEL message for a face that has left: 55 bytes, little endian, packed.

A receiver needs this module and nothing else of the package:

    from edge_fer.publish.mavlink.tunnel_track import PAYLOAD_TYPE, decode

Later versions append fields and raise `version`; the fields of this version stay where they are, so a decoder of
version 1 reads the payload of every later one.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from edge_fer.publish.mavlink.tunnel import NO_LABEL, microseconds, read_label, read_share, share_byte, within
from edge_fer.schema import Pose, TrackRecord
from edge_fer.types import LABELS, Label

PAYLOAD_TYPE = 0xFE02
"""`TUNNEL.payload_type`: the one after that of faces."""

VERSION = 1
"""Version of the layout, its first byte."""

LAYOUT: tuple[tuple[str, str], ...] = (
    ("version", "B"),
    ("flags", "B"),
    ("label", "B"),
    ("confidence", "B"),
    ("probabilities", "7s"),
    ("shares", "7s"),
    ("withheld", "B"),
    ("yaw", "b"),
    ("pitch", "b"),
    ("roll", "h"),
    ("run", "I"),
    ("id", "I"),
    ("duration_ms", "I"),
    ("frames_seen", "I"),
    ("frames_read", "I"),
    ("best_frame", "I"),
    ("last_us", "Q"),
)
"""Name and type (as in `struct`) of each field, in order."""

_STRUCT = struct.Struct("<" + "".join(code for _, code in LAYOUT))
SIZE = _STRUCT.size
"""Bytes of a payload of this version."""

_CLOCK_SYNCED, _READ = 2, 8  # bits of `flags`, as of faces
_MOST = 2**32 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TunnelTrack:
    """What was seen of one face; names and meanings are those of `edge_fer.schema.TrackRecord` unless stated here.

    Attributes:
        run: CRC-32 (zlib's) of the run's UUID as text; it changes with each start.
        id: the track's id, modulo 2**32.
        last_us: capture time of the last frame by the box's wall clock, microseconds since 1970; see `clock_synced`.
        clock_synced: whether that clock is set from a network, GPS or another reference.
        duration_ms: from the first frame to the last, whole milliseconds.
        frames_seen: readings that show it.
        frames_read: pictures of it that were classified.
        label: the label; None when the runtime abstains.
        confidence: probability of `label`, or of the label that is withheld, 0..1 in steps of 1/255, like the next
            three.
        probabilities: one for each of the seven labels; empty where no picture was good enough.
        shares: part of the time during which each of the seven labels was shown.
        withheld: part of the time during which none was.
        pose: the turn of the head, on average, whole degrees.
        best_frame: id of the frame that shows the face best, modulo 2**32.
    """

    run: int
    id: int
    last_us: int
    clock_synced: bool
    duration_ms: int
    frames_seen: int
    frames_read: int
    label: Label | None
    confidence: float
    probabilities: dict[Label, float]
    shares: dict[Label, float]
    withheld: float
    pose: Pose
    best_frame: int


def encode(track: TrackRecord) -> bytes:
    """Encode the payload, `SIZE` bytes; a value outside a field's range becomes the nearest inside.

    Args:
        track: the record.
    """
    return _STRUCT.pack(
        VERSION,
        _CLOCK_SYNCED * track.clock_synced | _READ * bool(track.probabilities),
        NO_LABEL if track.label is None else LABELS.index(track.label),
        share_byte(track.confidence),
        bytes(share_byte(track.probabilities.get(label, 0.0)) for label in LABELS),
        bytes(share_byte(track.shares[label]) for label in LABELS),
        share_byte(track.withheld),
        within(track.pose.yaw, -128, 127),
        within(track.pose.pitch, -128, 127),
        within(track.pose.roll, -180, 180),
        zlib.crc32(track.run.encode()),
        track.id % 2**32,
        within(track.duration_ms, 0, _MOST),
        within(track.frames_seen, 0, _MOST),
        within(track.frames_read, 0, _MOST),
        track.best_frame % 2**32,
        within(microseconds(track.last_at), 0, 2**64 - 1),
    )


def decode(payload: Iterable[int]) -> TunnelTrack:
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
            f"expected a track in {SIZE} bytes or more, version {VERSION} or later, found {len(content)} bytes, "
            f"version {version}; is it of payload type {PAYLOAD_TYPE}?"
        )
    read = dict(zip((name for name, _ in LAYOUT), _STRUCT.unpack_from(content), strict=True))
    flags = read["flags"]
    return TunnelTrack(
        run=read["run"],
        id=read["id"],
        last_us=read["last_us"],
        clock_synced=bool(flags & _CLOCK_SYNCED),
        duration_ms=read["duration_ms"],
        frames_seen=read["frames_seen"],
        frames_read=read["frames_read"],
        label=read_label(read["label"]),
        confidence=read_share(read["confidence"]),
        probabilities=_by_label(read["probabilities"]) if flags & _READ else {},
        shares=_by_label(read["shares"]),
        withheld=read_share(read["withheld"]),
        pose=Pose(read["yaw"], read["pitch"], read["roll"]),
        best_frame=read["best_frame"],
    )


def _by_label(shares: bytes) -> dict[Label, float]:
    return {label: read_share(value) for label, value in zip(LABELS, shares, strict=True)}

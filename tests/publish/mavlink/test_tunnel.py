from __future__ import annotations

import math
import re
import struct
import zlib
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fer.publish.mavlink import tunnel, tunnel_track
from edge_fer.publish.mavlink.tunnel import SIZE, TunnelFace, decode, encode, tunnel_face
from edge_fer.schema import Pose
from edge_fer.types import LABELS, Box, Why
from tests.support import ROOT
from tests.support.records import make_face_reading, make_reading, make_track

DOCUMENT = ROOT / "docs" / "mavlink.md"

shares = st.floats(0, 1)
steps = st.integers(0, 255).map(lambda n: n / 255)
probabilities = st.just({}) | st.lists(steps, min_size=7, max_size=7).map(
    lambda values: dict(zip(LABELS, values, strict=True))
)
pixels = st.integers(-(2**15), 2**15 - 1)
lengths = st.integers(0, 2**16 - 1)
exact = st.builds(
    TunnelFace,
    run=st.integers(0, 2**32 - 1),
    frame=st.integers(0, 2**32 - 1),
    faces=st.integers(0, 255),
    captured_us=st.integers(0, 2**64 - 1),
    clock_synced=st.booleans(),
    fc_captured_us=st.none() | st.integers(1, 2**64 - 1),
    age_ms=lengths,
    degraded=st.booleans(),
    size=st.tuples(lengths, lengths),
    id=st.integers(0, 2**32 - 1),
    box=st.builds(Box, pixels, pixels, lengths, lengths),
    score=steps,
    label=st.none() | st.sampled_from(LABELS),
    confidence=steps,
    probabilities=probabilities,
    label_age_ms=st.none() | st.integers(0, 2**16 - 2),
    why=st.none() | st.sampled_from([*get_args(Why), "other"]),
)


@given(exact)
def test_what_fits_the_fields_comes_back_as_it_was(face: TunnelFace) -> None:
    assert decode(encode(face)) == face


@given(st.binary(min_size=SIZE, max_size=128))
def test_whatever_can_be_read_is_written_the_same(payload: bytes) -> None:
    """Bits and numbers that this version does not know are the only ones that get lost."""
    try:
        face = decode(payload)
    except ValueError:
        assert payload[0] == 0 or 7 <= payload[3] < 255
        return
    assert decode(encode(face)) == face


@given(st.binary(max_size=SIZE - 1))
def test_what_is_too_short_is_refused_in_a_line(payload: bytes) -> None:
    with pytest.raises(ValueError, match=rf"expected a face in {SIZE} bytes.*found {len(payload)}") as caught:
        decode(payload)
    assert "\n" not in str(caught.value)


@given(
    st.builds(
        replace,
        exact,
        confidence=shares,
        score=st.floats(-5, 5),
        frame=st.integers(0, 2**70),
        age_ms=st.integers(-(2**40), 2**40),
        label_age_ms=st.integers(-(2**40), 2**40),
        captured_us=st.integers(-(2**70), 2**70),
        faces=st.integers(0, 10_000),
        box=st.builds(Box, *[st.floats(-1e9, 1e9)] * 4),
    )
)
def test_what_does_not_fit_becomes_the_nearest_that_does(face: TunnelFace) -> None:
    found = decode(encode(face))
    assert math.isclose(found.confidence, face.confidence, abs_tol=0.5 / 255 + 1e-9)
    assert found.score == round(min(max(face.score, 0), 1) * 255) / 255
    assert found.frame == face.frame % 2**32
    assert found.age_ms == min(max(face.age_ms, 0), 65_535)
    assert face.label_age_ms is not None
    assert found.label_age_ms == min(max(face.label_age_ms, 0), 65_534)
    assert found.captured_us == min(max(face.captured_us, 0), 2**64 - 1)
    assert found.faces == min(face.faces, 255)
    assert found.box.x == min(max(round(face.box.x), -32_768), 32_767)
    assert found.box.height == min(max(round(face.box.height), 0), 65_535)


def test_a_face_of_a_reading_is_told_as_it_is() -> None:
    reading = replace(make_reading(7, (make_face_reading(),) * 3, captured_ns=5_000_000_000), degraded=True, reason="x")
    face = tunnel_face(reading, reading.faces[0], now_ns=5_100_000_000, offset_ns=-2_000_000_000)
    assert face.run == zlib.crc32(b"3f0c")
    assert (face.frame, face.faces, face.id, face.size, face.degraded) == (7, 3, 7, (640, 360), True)
    assert face.captured_us == 1_795_292_629_123_000
    assert face.fc_captured_us == 3_000_000
    assert face.age_ms == 100
    assert face.label_age_ms == 100, "21.4 ms when it was published, 21.4 ms after its capture"
    assert (face.label, face.why, face.box) == ("happiness", None, Box(100, 50, 80, 80))
    assert face.probabilities["happiness"] == 0.93


def test_a_capture_before_the_flight_controller_started_has_no_time_of_its() -> None:
    reading = make_reading(1, (make_face_reading(),), captured_ns=10**9)
    assert tunnel_face(reading, reading.faces[0], 2 * 10**9, offset_ns=-(10**10)).fc_captured_us is None
    assert tunnel_face(reading, reading.faces[0], 2 * 10**9, offset_ns=None).fc_captured_us is None


def test_a_face_that_was_not_read_yet_says_so() -> None:
    unread = replace(
        make_face_reading(None, "not_read_yet"), confidence=0.0, probabilities={}, label_age_ms=None, smoothed=None
    )
    found = decode(encode(tunnel_face(make_reading(1, (unread,)), unread, 2 * 10**9, None)))
    assert (found.label, found.why, found.probabilities, found.label_age_ms) == (None, "not_read_yet", {}, None)


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    face = tunnel_face(make_reading(1), make_face_reading(), 2 * 10**9, None)
    later = bytes([2]) + encode(face)[1:] + b"more"
    assert decode(later) == decode(encode(face))
    assert decode(list(later.ljust(128, b"\0"))) == decode(encode(face)), "as pymavlink hands it over"


@pytest.mark.parametrize("payload", [b"", bytes(128)])
def test_an_empty_payload_is_none(payload: bytes) -> None:
    with pytest.raises(ValueError, match="version 1 or later"):
        decode(payload)


def test_a_label_that_does_not_exist_is_refused() -> None:
    payload = bytearray(encode(tunnel_face(make_reading(1), make_face_reading(), 2 * 10**9, None)))
    payload[3] = 7
    with pytest.raises(ValueError, match="label below 7"):
        decode(payload)


def test_a_face_that_has_left_is_told_as_it_is() -> None:
    record = make_track(2**32 + 7)
    found = tunnel_track.decode(tunnel_track.encode(record))
    assert (found.run, found.id, found.label) == (zlib.crc32(b"3f0c"), 7, "happiness")
    assert found.confidence == pytest.approx(0.93, abs=0.5 / 255)
    assert found.probabilities == pytest.approx(record.probabilities, abs=0.5 / 255)
    assert found.shares == pytest.approx(record.shares, abs=0.5 / 255)
    assert found.withheld == pytest.approx(0.1, abs=0.5 / 255)
    assert found.pose == Pose(-4, 8, 1)
    assert (found.duration_ms, found.frames_seen, found.frames_read, found.best_frame) == (4200, 126, 120, 42)
    assert (found.last_us, found.clock_synced) == (1_795_292_633_323_000, True)


@given(st.binary(max_size=140))
def test_whatever_comes_as_a_track_is_read_or_refused(payload: bytes) -> None:
    try:
        track = tunnel_track.decode(payload)
    except ValueError:
        assert len(payload) < tunnel_track.SIZE or payload[0] == 0 or 7 <= payload[2] < 255
    else:
        assert tunnel_track.decode(bytes([9]) + payload[1:] + b"more") == track, "of a later version, too"


def test_what_a_track_has_no_room_for_becomes_the_nearest() -> None:
    record = replace(
        make_track(label=None),
        probabilities={},
        duration_ms=1e13,
        frames_seen=2**40,
        pose=Pose(500.0, -500.0, 1000.0),
        last_at="1960-01-01T00:00:00.000Z",
    )
    found = tunnel_track.decode(tunnel_track.encode(record))
    assert (found.label, found.probabilities, found.last_us) == (None, {}, 0)
    assert (found.duration_ms, found.frames_seen) == (2**32 - 1, 2**32 - 1)
    assert found.pose == Pose(127, -128, 180)


def test_the_layout_is_the_documented_one() -> None:
    """Receivers in other languages are written from the document."""
    face, track = DOCUMENT.read_text().split("### A face that has left")
    assert_documented(tunnel.LAYOUT, SIZE, face)
    assert_documented(tunnel_track.LAYOUT, tunnel_track.SIZE, track)


def assert_documented(layout: tuple[tuple[str, str], ...], size: int, text: str) -> None:
    rows = re.findall(r"^\| (\d+) \| (\w+)(?:\[(\d+)\])? \| `(\w+)` \|", text, re.MULTILINE)
    names = {"B": "uint8", "b": "int8", "H": "uint16", "h": "int16", "I": "uint32", "Q": "uint64", "7s": "uint8"}
    offset, expected = 0, []
    for name, code in layout:
        expected.append((str(offset), names[code], "7" if code == "7s" else "", name))
        offset += struct.calcsize("<" + code)
    assert rows == expected
    assert offset == size <= 128

"""The faces of a frame, cut out with their eyes level, each with how good its picture is.

A classifier needs every face of every frame. Where the detector has read the faces itself, a cut-out only shows how
sharp a picture is: then a face is cut out in the frames that were read and in which its landmarks were measured, and
keeps its last cut-out and that one's blur in the others.
"""

from __future__ import annotations

from collections.abc import Iterable

from edge_fer.common.picture import enlarge
from edge_fer.faces.align import sample
from edge_fer.faces.quality import measure_quality, of_landmarks
from edge_fer.inference.manifest_parts import CropSpec
from edge_fer.types import AlignedFace, Face, Frame, Image, Track


class Aligner:
    """Cuts out faces.

    Args:
        crop: where the eyes go, and how fine a face is sampled.
        size: side of the aligned faces, pixels.
        colour: whether they keep their colours.
        sparing: whether the faces were read by the detector, so that a cut-out of an earlier frame will do.
    """

    def __init__(self, crop: CropSpec, size: int, *, colour: bool = False, sparing: bool = False) -> None:
        self._crop, self._size, self._colour = crop, size, colour
        self._sparing = sparing
        self._last: dict[int, AlignedFace] = {}

    def align(self, image: Image, track: Track, frame: Frame) -> AlignedFace:
        """Cut out one face.

        Args:
            image: `(height, width, 3)` uint8, BGR: the picture of the frame, enhanced.
            track: the face, in pixels of `image`.
            frame: the frame.
        """
        last = self._last.get(track.id)
        if last is None or _shows_more(track.face):
            face = self._cut(image, track, frame)
        else:
            landmarks, quality = track.face.landmarks, last.quality
            if not track.face.landmarks_lag_ns:
                quality = of_landmarks(landmarks, quality.blur)
            face = AlignedFace(
                track, last.image, quality, frame.captured_ns, frame.scene_ns, frame.id, sampled=last.sampled
            )
        if self._sparing:
            self._last[track.id] = face
        return face

    def keep(self, ids: Iterable[int]) -> None:
        """Forget all faces but these."""
        kept = set(ids)
        self._last = {key: face for key, face in self._last.items() if key in kept}

    def _cut(self, image: Image, track: Track, frame: Frame) -> AlignedFace:
        sampled = sample(image, track.face.landmarks, self._crop, self._size, colour=self._colour)
        crop = enlarge(sampled, self._size)
        quality = measure_quality(crop, track.face)
        return AlignedFace(track, crop, quality, frame.captured_ns, frame.scene_ns, frame.id, sampled=sampled)


def _shows_more(face: Face) -> bool:
    """Whether a cut-out of this frame says more than the last one: the face was read, and its landmarks are of it."""
    return face.expression is not None and not face.landmarks_lag_ns

r"""One frame's way, without camera or sinks.

    enhance -> find (detect, follow, track) -> align -> [newest crops] -> classify, attend -> smooth

`find` and what comes before it happen in the thread that calls; faces are classified beside it, in the scheduler's
threads, one for each device. So the faces of one frame are found while those of the frame before are classified:

    found = recognizer.find(frame)      recognizer.submit(found)       recognizer.result(found, time.monotonic_ns())

`read` does all of it for frames one after the other, every face classified.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace

import cv2

from edge_fer.common.closeable import Closeable
from edge_fer.common.deadline import Deadline
from edge_fer.expression import ExpressionModel
from edge_fer.expression.attention import open_attention
from edge_fer.expression.detected import DetectedExpressions, ImmediateScheduler
from edge_fer.expression.face_reading import classified_reading, pending_reading
from edge_fer.expression.open_model import open_expression_model
from edge_fer.expression.scheduler import Classification, ClassificationScheduler
from edge_fer.expression.sequence import SequenceModel, WholeTrack
from edge_fer.expression.smoother import Smoother
from edge_fer.faces.align import places_in_picture
from edge_fer.faces.aligner import Aligner
from edge_fer.faces.detectors import Detector
from edge_fer.faces.enhance import Enhancer
from edge_fer.faces.finder import open_finder
from edge_fer.inference.model_store import ModelStore
from edge_fer.inference.shared_tpu import detector_tpu
from edge_fer.schema import FaceReading, Loop
from edge_fer.settings import Settings
from edge_fer.types import AlignedFace, Frame, Origin

Stage = Callable[[str], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class FoundFaces:
    """A frame whose faces were found and cut out.

    Attributes:
        frame: the frame.
        faces: its faces, in order of their track ids.
        detector: what made the last search by then.
    """

    frame: Frame
    faces: tuple[AlignedFace, ...]
    detector: Origin


@dataclass(frozen=True, slots=True)
class RecognizedFaces:
    """The faces of a frame with what is known of their expressions.

    Attributes:
        faces: one entry a face, in order of track id.
        origin: what classified them; of several, the first that had to stand in; without any, what would now.
        detector: what made the last search by then, and why it was not what should, if so.
    """

    faces: tuple[FaceReading, ...]
    origin: Origin
    detector: Origin


def _over_time(model: ExpressionModel, settings: Settings, store: ModelStore) -> SequenceModel:
    """A model with what it says of the pictures of a track put together."""
    name = settings.classify.model
    attention = open_attention(store, name) if settings.detect.labels == "classifier" else None
    return SequenceModel(model, settings.attend, settings.smooth, attention, attention_of=name)


class Recognizer(Closeable):
    """Finds the faces of frames, in order, and has their expressions classified.

    Args:
        settings: the settings of all stages.
        stage: times each stage; see `Monitor.stage`.
        model: reads expressions, and is closed with the recognizer; None: the one that the settings name.
        wake_up: set when every face that was submitted is classified, or when that has failed.
        duty_cycle: asked before each classification which part of them to do; see `ClassificationScheduler`.
        cancelled: asked while devices are opened; when true, nothing is waited for.
        detector: finds faces, and is closed with the recognizer; None: the one that the settings name.

    Attributes:
        model: the same, with what it says of the pictures of a track put together.
        detector: what finds faces, and the devices that it runs on.
        deadlines: the deadlines of the calls under way, by loop.

    Raises:
        ModelError: when a network is missing or corrupt.
        BackendError: when a device cannot run it.
    """

    def __init__(
        self,
        settings: Settings,
        stage: Stage,
        model: ExpressionModel | None = None,
        *,
        wake_up: threading.Event | None = None,
        duty_cycle: Callable[[], float] = lambda: 1.0,
        cancelled: Callable[[], bool] = lambda: False,
        detector: Detector | None = None,
    ) -> None:
        # The stages share out the processor themselves; OpenCV's own threads only get in their way.
        cv2.setNumThreads(1)
        store = ModelStore(settings.models)
        self._stage, self._roll = stage, settings.detect.roll
        self._enhancer, self._smoother = Enhancer(settings.enhance), Smoother(settings.smooth)
        with ExitStack() as stack:
            tpu = None if detector else detector_tpu(settings.detect, settings.classify)
            self._finder = self.detector = stack.enter_context(open_finder(settings, store, stage, tpu, detector))
            own_labels = settings.detect.labels == "own"
            if own_labels:
                model = model or DetectedExpressions(lambda: self._finder.origin)
            model = stack.enter_context(
                model or open_expression_model(settings.classify, store, cancelled, lambda: duty_cycle() < 1, tpu)
            )
            self._finder.wait_until_opened(cancelled)
            self.model = _over_time(model, settings, store)
            self._aligner = Aligner(model.crop, model.size, colour=model.colour, sparing=own_labels)
            self._scheduler = (
                ImmediateScheduler(self.model, stage)
                if own_labels
                else ClassificationScheduler(self.model, stage, wake_up or threading.Event(), duty_cycle)
            )
            stack.callback(self._scheduler.stop)
            self._opened = stack.pop_all()
        self.deadlines: dict[Loop, Deadline] = {"labels": self._scheduler.deadline, "search": self._finder.deadline}

    def find(self, frame: Frame, *, live: bool = False, bank_deg: float = 0.0) -> FoundFaces:
        """Find the faces of the next frame and cut them out.

        Args:
            frame: the frame, later than the one before.
            live: whether the search of a key frame may go on beside the frames that follow.
            bank_deg: how far the vehicle banks, degrees, clockwise seen from behind; counts where `detect.roll` is
                `mavlink`.
        """
        with self._stage("enhance"):
            image = self._enhancer.enhance(frame.image)
        roll_deg = bank_deg if self._roll == "mavlink" else self._roll
        tracks = self._finder.find(image, frame.scene_ns, live=live, still=frame.still, roll_deg=roll_deg)
        with self._stage("align"):
            self._aligner.keep(self._finder.ids)
            faces = tuple(self._aligner.align(image, track, frame) for track in tracks)
        return FoundFaces(frame, faces, self._finder.origin)

    def submit(self, found: FoundFaces) -> None:
        """Have the faces of a frame classified; what is known of tracks that have ended is forgotten.

        Raises:
            EdgeFerError: the error that a classification failed with.
        """
        self._scheduler.keep(self._finder.ids)
        self._scheduler.offer(found.faces)

    @property
    def done(self) -> bool:
        """Whether every face that was submitted is classified; raises what a classification failed with."""
        return self._scheduler.done

    def wait(self) -> None:
        """Wait until every face that was submitted is classified; raises what a classification failed with."""
        self._scheduler.wait()

    def result(self, found: FoundFaces, now_ns: int) -> RecognizedFaces:
        """What is known by now of the faces of a frame.

        Args:
            found: the frame; one that was not submitted yet has its faces' classifications of earlier frames.
            now_ns: when it is published, CLOCK_MONOTONIC, nanoseconds.

        Raises:
            EdgeFerError: the error that a classification failed with.
        """
        known = self._scheduler.classifications()
        last = [known.get(face.track.id) for face in found.faces]
        pairs = zip(found.faces, last, strict=True)
        faces = tuple(self._reading(face, classification, now_ns) for face, classification in pairs)
        return RecognizedFaces(faces, self._origin([one for one in last if one is not None]), found.detector)

    @property
    def ids(self) -> frozenset[int]:
        """The ids of all tracks that have not ended, seen in the last frame or not."""
        return self._finder.ids

    def whole(self, track_id: int) -> WholeTrack:
        """What all pictures of a track say together; once it has ended, until the next frame is submitted."""
        return self.model.whole(track_id)

    def end_tracks(self) -> None:
        """End all tracks and forget them: the next frame may show another scene, as after a camera was lost."""
        self._finder.reset()
        self._aligner.keep(self._finder.ids)
        self._scheduler.keep(self._finder.ids)

    def read(self, frames: Iterable[Frame]) -> Iterator[RecognizedFaces]:
        """The faces of each frame, every face classified; the next frame is searched meanwhile.

        Raises:
            EdgeFerError: when a network fails.
        """
        before: FoundFaces | None = None
        for frame in frames:
            found = self.find(frame)
            if before is not None:
                yield self._finished(before)
            self.submit(found)
            before = found
        if before is not None:
            yield self._finished(before)

    def close(self) -> None:
        """End the threads and close the networks: all of them, whichever fails."""
        self._opened.close()

    def _finished(self, found: FoundFaces) -> RecognizedFaces:
        self.wait()
        return self.result(found, time.monotonic_ns())

    def _reading(self, face: AlignedFace, last: Classification | None, now_ns: int) -> FaceReading:
        if last is None:
            return pending_reading(face)
        shown = self._smoother.smooth(face.track.id, last.expression, last.scene_ns, last.quality)
        region = last.expression.region  # of the crop: so it goes with a face that has moved since then
        in_frame = None if region is None else places_in_picture(region, face.track.face.landmarks, self.model.crop)
        return classified_reading(face, last, shown, now_ns, in_frame)

    def _origin(self, classifications: list[Classification]) -> Origin:
        now = self.model.origin
        origins = [one.expression.origin or now for one in classifications]
        stand_in = next((origin for origin in origins if origin.reason is not None), None)
        return stand_in or replace(origins[0] if origins else now, reason=now.reason)

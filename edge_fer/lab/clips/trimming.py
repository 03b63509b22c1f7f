"""Labelled clips to what a network is trained on: the faces from start to end, in a folder for each label."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2

from edge_fer.common.text import counted
from edge_fer.errors import OutputError, SourceError
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.clips.clip_faces import ClipFaces, Pictures, encoded
from edge_fer.lab.clips.cut_record import CutClip, read_cuts
from edge_fer.lab.clips.films import frames_of, open_film
from edge_fer.lab.clips.marks import FLAG_NAMES, Marks
from edge_fer.lab.clips.saved import Place, Saved, expected_in_name, find_places, read_saved, sha256_of
from edge_fer.lab.console import Reporter
from edge_fer.lab.datasets.clips_record import CLIPS, TrimmedClip, TrimmedClips
from edge_fer.lab.datasets.subjects import SUBJECTS, person_finder
from edge_fer.lab.files import write_record
from edge_fer.settings import ClassifySettings, Settings
from edge_fer.types import LABELS, Label

_QUALITY = 95  # of whole pictures as JPEG, percent
_SHOWN = 10  # clips that are left out


@dataclass(frozen=True, slots=True)
class TrimOptions:
    """What is taken of labelled clips.

    Attributes:
        labeller: whose marks; None: those beside the clips.
        whole: whether whole pictures are taken instead of faces.
        excluded: flags with which a clip is left out.
        classifier: faces are cut as this one takes them, by its name in the manifest.
        models: folder of the models; None: those that edge-fer ships.
    """

    labeller: str | None = None
    whole: bool = False
    excluded: tuple[str, ...] = ("non_correlating", "heavy", "other")
    classifier: str = ClassifySettings().model
    models: Path | None = None


def trim_clips(folder: Path, out: Path, options: TrimOptions, report: Reporter) -> TrimmedClips:
    """Trim all labelled clips of a folder.

    Args:
        folder: the folder of the clips.
        out: gets a folder for each label with one for each clip, and `clips.json`; replaced where it is of this
            function.
        options: what is taken.
        report: receives lines and progress.

    Raises:
        SourceError: when there are no clips, or none of them can be taken.
        OutputError: when `out` holds anything else, or cannot be written.
        ModelError: when there is no such classifier.
        BackendError: when the detector fails.
    """
    places, cuts = find_places(folder, options.labeller), read_cuts(folder)
    person_of = person_finder(folder / SUBJECTS)
    names = Counter(place.clip.stem for place in places)
    clips: list[TrimmedClip] = []
    left_out: dict[str, str] = {}
    with _replacing(out, folder) as partial, report.step(f"trimming {counted(len(places), 'clip')}") as progress:
        for number, place in enumerate(places, 1):
            inside = place.clip.relative_to(folder)
            is_alone = names[place.clip.stem] == 1
            name = place.clip.stem if is_alone else "-".join([place.clip.stem, *inside.parent.parts])
            trimming = _Trimming(place, folder, options, cuts.get(place.clip.stem), report)
            try:
                clips.append(trimming.write(partial, name, person_of(place.clip.stem)))
            except SourceError as why:
                left_out[inside.as_posix()] = str(why)
            progress(number, len(places))
        if not clips:
            raise SourceError(
                f"expected labelled clips in {folder}, found none to take among {len(places)}; the last reason: "
                f"{list(left_out.values())[-1]}"
            )
        record = _record(options, tuple(clips), left_out)
        write_record(partial / CLIPS, record)
    _tell(record, out, report)
    return record


class _Trimming:
    """One clip. What it raises, SourceError, is why it is left out.

    Args:
        place: where it and its marks are.
        folder: the folder of all clips.
        options: what is taken.
        cut: what is known of how it was cut; None: nothing.
        report: receives what is wrong with its pictures.
    """

    def __init__(self, place: Place, folder: Path, options: TrimOptions, cut: CutClip | None, report: Reporter) -> None:
        self._place, self._folder, self._options, self._cut, self._report = place, folder, options, cut, report

    def write(self, out: Path, name: str, person: str) -> TrimmedClip:
        """Write what is taken into a folder of that name, in the one of its label; `person` is who is seen."""
        saved = self._saved()
        label = self._label(saved)
        start, end, peak = _stamps(saved.marks)
        sha256 = sha256_of(self._place.clip)
        if saved.record is not None and saved.record.sha256 != sha256:
            raise SourceError("it is another file than the one that was labelled; label it again")
        pictures, times = self._read(start, end)
        if end >= len(times):
            raise SourceError(f"its end is marked at frame {end}, and there are {len(times)} frames; label it again")
        if not pictures:
            raise SourceError("no face is found from its start to its end")
        target = out / label / name
        target.mkdir(parents=True)
        for number, content in pictures.items():
            (target / f"{number:06d}{'.jpg' if self._options.whole else '.png'}").write_bytes(content)
        return TrimmedClip(
            folder=f"{label}/{name}",
            label=label,
            person=person,
            sha256=sha256,
            start=start,
            end=end,
            peak=peak,
            frames=tuple(pictures),
            times_ms=tuple(round(times[number] - times[0], 3) for number in pictures),
        )

    def _saved(self) -> Saved:
        saved = read_saved(self._place)
        if saved is None:
            raise SourceError("not labelled yet")
        for flag in self._options.excluded:
            if getattr(saved.marks, flag):
                raise SourceError(f"marked: {FLAG_NAMES[flag]}")
        return saved

    def _label(self, saved: Saved) -> Label:
        expected = saved.record.expected if saved.record else None
        label = expected or (self._cut.expected if self._cut else None)
        label = label or expected_in_name(self._place.clip, self._folder)
        if label is None:
            raise SourceError("nobody said which expression it should show")
        return label

    def _read(self, start: int, end: int) -> tuple[Pictures, list[float]]:
        """The pictures from start to end, and the times of all frames until then, milliseconds.

        Faces are followed from the first frame of the clip on, so that they are known by the time of the start.
        """
        pictures: Pictures = {}
        times: list[float] = []
        with ExitStack() as stack:
            video = stack.enter_context(open_film(self._place.clip, self._report.say))
            faces = None if self._options.whole else stack.enter_context(self._faces())
            for number, (image, at_ms) in enumerate(frames_of(video, self._report.say)):
                if number > end:
                    break
                times.append(at_ms)
                if faces is not None:
                    faces.add(number, image, at_ms, keep=number >= start)
                elif number >= start:
                    pictures[number] = encoded(".jpg", image, cv2.IMWRITE_JPEG_QUALITY, _QUALITY)
            return (pictures if faces is None else faces.chosen()), times

    def _faces(self) -> ClipFaces:
        classify = ClassifySettings(model=self._options.classifier, backend="cpu")
        settings = Settings(models=self._options.models, classify=classify)
        return ClipFaces(settings, self._cut.boxes if self._cut else ())


def _stamps(marks: Marks) -> tuple[int, int, int]:
    if marks.start is None or marks.end is None or marks.peak is None:
        raise SourceError("no frames are marked")
    return marks.start, marks.end, marks.peak


def _record(options: TrimOptions, clips: tuple[TrimmedClip, ...], left_out: dict[str, str]) -> TrimmedClips:
    if options.whole:
        return TrimmedClips(content="frames", classifier=None, crop=None, size=None, clips=clips, left_out=left_out)
    spec = ModelStore(options.models).spec(options.classifier, "classify")
    return TrimmedClips(
        content="faces", classifier=options.classifier, crop=spec.crop, size=spec.input.size, clips=clips,
        left_out=left_out,
    )  # fmt: skip


@contextmanager
def _replacing(out: Path, folder: Path) -> Iterator[Path]:
    """A folder beside `out` to write to, which takes its place once it is whole."""
    out = out.resolve()
    _check_out(out, folder.resolve())
    partial = out.with_name(f".{out.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
        partial.mkdir(parents=True)
        try:
            yield partial
            shutil.rmtree(out, ignore_errors=True)
            partial.rename(out)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except (SourceError, OutputError):
        raise
    except OSError as error:
        raise OutputError(f"expected to write to {out}, found: {error.strerror or error}; check it") from error


def _check_out(out: Path, folder: Path) -> None:
    """Whether trimmed clips may be written there without touching anybody's files."""
    if out == folder or folder in out.parents or out in folder.parents:
        raise OutputError(f"expected a folder apart from the clips in {folder}, found {out}; choose another")
    if not out.exists():
        return
    found = {path.name for path in out.iterdir()} if out.is_dir() else {out.name}
    if found and not (CLIPS in found and found <= {CLIPS, *LABELS}):
        other = min(found - {CLIPS, *LABELS}, default=min(found))
        raise OutputError(f"expected an empty folder, or trimmed clips, at {out}, found {other}; choose another")


def _tell(record: TrimmedClips, out: Path, report: Reporter) -> None:
    counts = Counter(clip.label for clip in record.clips)
    frames: Counter[Label] = Counter()
    missing = 0
    for clip in record.clips:
        frames[clip.label] += len(clip.frames)
        missing += clip.end + 1 - clip.start - len(clip.frames)
    for label in LABELS:
        report.say(f"{label:12}{counts[label]:>6} clips{frames[label]:>8} {record.content}")
    people = len({clip.person for clip in record.clips})
    report.say(f"{counted(len(record.clips), 'clip')} of {counted(people, 'person')} in {out}")
    if missing:
        report.say(f"left out: {counted(missing, 'frame')} in which the face is not found")
    for name, why in list(record.left_out.items())[:_SHOWN]:
        report.say(f"left out: {name}: {why}")
    if len(record.left_out) > _SHOWN:
        report.say(f"and {counted(len(record.left_out) - _SHOWN, 'clip')} more; {CLIPS} names all")

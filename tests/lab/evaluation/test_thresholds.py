"""Thresholds of quality: the rule, the bins, and faces that go all the way through the runtime."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from edge_fer.errors import SourceError
from edge_fer.expression.classifier import Classifier
from edge_fer.expression.smoother import Smoother
from edge_fer.lab.cli.app import app
from edge_fer.lab.console import Reporter, SilentReporter
from edge_fer.lab.datasets.dataset import Dataset, Split, hard
from edge_fer.lab.datasets.pasting import paste
from edge_fer.lab.evaluation import quality_sweep as observations
from edge_fer.lab.evaluation.quality_sweep import Observation, Series, SeriesName, draw, show
from edge_fer.lab.evaluation.thresholds import LEAST, MEASURES, Bin, Measure, bins, examine, propose
from edge_fer.settings import Settings, SmoothSettings, load_settings
from edge_fer.types import LABELS, Expression, Quality
from tests.lab.support.portraits import portrait_crop

SIZE, BLUR, TURN = (next(one for one in MEASURES if one.setting == name) for name in
                    ("min_eye_distance_px", "max_blur", "max_head_angle_deg"))  # fmt: skip
REFERENCE = 0.8


def observation(eye_distance: float = 60.0, blur: float = 0.022, yaw: float = 0.0, pitch: float = 0.0) -> Observation:
    return Observation(Quality(eye_distance, blur, yaw, pitch), roll=0.0, right=True)


def row(*cells: tuple[float, int]) -> list[Bin]:
    """Bins with the boundaries 1, 2, 3, ... of such accuracies and faces."""
    ends = [None, *map(float, range(1, len(cells))), None]
    return [Bin(ends[n], ends[n + 1], faces, round(share * faces)) for n, (share, faces) in enumerate(cells)]


@pytest.mark.parametrize(
    ("found", "threshold", "tail"),
    [
        pytest.param(row((0.8, 500), (0.8, 500), (0.6, 500), (0.5, 500)), 2, None, id="it falls and stays so"),
        pytest.param(row((0.8, 500), (0.6, 500), (0.8, 500), (0.5, 500)), 3, None, id="what recovers is good"),
        pytest.param(row((0.8, 500), (0.5, 500), (0.75, 500)), None, None, id="it ends well"),
        pytest.param(row((0.8, 500), (0.71, 500), (0.702, 500)), None, None, id="not quite ten points"),
        pytest.param(row((0.8, 500), (0.8, 500), (0.5, 60), (0.5, 40)), 2, (2, 100), id="few count together"),
        pytest.param(row((0.8, 500), (0.8, 500), (0.5, 60), (0.5, 39)), None, (1, 599), id="or with their betters"),
        pytest.param(row((0.8, 500), (1.0, 3), (0.6, 500)), 2, None, id="a few in between change little"),
        pytest.param(row((0.8, 50), (0.6, 500)), None, (None, 550), id="too few good ones are none"),
        pytest.param(row((0.8, 50), (0.8, 99), (0.6, 500)), 2, None, id="too few of the best join the good"),
        pytest.param(row((0.5, 500), (0.4, 500)), None, None, id="nothing is good"),
        pytest.param(row((0.8, 9), (0.4, 9)), None, (None, 18), id="too few everywhere"),
    ],
)
def test_the_rule(found: list[Bin], threshold: float | None, tail: tuple[float | None, int] | None) -> None:
    proposal = propose(found, REFERENCE)
    assert proposal.threshold == threshold
    assert (proposal.tail and (proposal.tail.good, proposal.tail.faces)) == tail


def test_the_interval_of_a_bin_that_counts_is_no_wider_than_the_drop() -> None:
    low, high = Bin(None, None, LEAST, LEAST // 2).interval or (0.0, 1.0)
    assert high - low < 0.2
    assert Bin(None, None, 0, 0).interval is None


def test_faces_fall_into_bins_from_good_to_poor() -> None:
    found = bins(SIZE, [observation(60), observation(12.5), replace(observation(12.5), right=False), observation(2)])
    assert [(one.good, one.poor, one.faces, one.right) for one in found if one.faces] == [
        (None, SIZE.edges[0], 1, 1),
        *((near, far, 2, 1) for near, far in zip(SIZE.edges, SIZE.edges[1:], strict=False) if far < 12.5 < near),
        (SIZE.edges[-1], None, 1, 1),
    ]
    assert sum(one.faces for one in bins(BLUR, [observation(blur=0.0), observation(blur=1.0)])) == 2
    assert sum(one.faces for one in bins(BLUR, [])) == 0


@pytest.mark.parametrize(("yaw", "pitch"), [(-23, 0), (23, 9), (0, 23), (9, -23)])
def test_a_head_is_as_turned_as_the_larger_angle_whatever_its_sign(yaw: float, pitch: float) -> None:
    (found,) = [one for one in bins(TURN, [observation(yaw=yaw, pitch=pitch)]) if one.faces]
    assert (found.good, found.poor) == (20, 25)


@pytest.mark.parametrize(
    ("measure", "on_it"),
    [
        (SIZE, observation(SIZE.edges[3])),
        (BLUR, observation(blur=BLUR.edges[3])),
        (TURN, observation(pitch=-TURN.edges[3])),
    ],
)
def test_a_face_on_a_boundary_is_still_read_as_in_the_runtime(measure: Measure, on_it: Observation) -> None:
    edge = measure.edges[3]
    (found,) = [one for one in bins(measure, [on_it]) if one.faces]
    assert found.poor == edge, "on the better side of it"
    smoother = Smoother(SmoothSettings(**{str(measure.setting): edge}))
    assert smoother.smooth(1, Expression((1.0, *[0.0] * 6)), 0, on_it.quality).why is None


def test_proposals_stand_beside_the_settings() -> None:
    sharp, dull = observation(), replace(observation(blur=0.0335), right=False)
    good = Series(300, (sharp,) * 200)
    series = {one.series: good for one in MEASURES} | {"blurred": Series(400, (sharp, dull) * 150)}
    found = {one.measure.setting: one for one in examine(series, SmoothSettings(max_blur=0.05)) if one.measure.setting}
    below = max(edge for edge in BLUR.edges if edge < 0.0335)
    assert (found["max_blur"].now, found["max_blur"].proposal.threshold) == (0.05, below)
    assert found["min_eye_distance_px"].proposal.threshold is None


def test_without_a_face_there_is_nothing_to_hold_against() -> None:
    with pytest.raises(SourceError, match="found none"):
        examine({one.series: Series(5, ()) for one in MEASURES}, SmoothSettings())


def test_a_crop_is_pasted_at_the_side_and_into_the_size_that_are_asked_for() -> None:
    crop = np.zeros((48, 48), np.uint8)
    crop[12:36, 12:36] = 255  # half of its side, bright
    for seed in range(20):
        pasted = paste(crop, seed, side=16, size=64)
        assert pasted.frame.shape == (64, 64, 3)
        rows, columns = np.nonzero(pasted.frame[..., 0] == 255)
        assert np.ptp(rows) + 1 == np.ptp(columns) + 1 == 8
        assert (columns.mean() + 0.5, rows.mean() + 0.5) == pasted.middle


@pytest.fixture(scope="module")
def portraits() -> Dataset:
    """The same portrait in three lights; the fake device reads them."""
    crop = portrait_crop().astype(np.float64)
    images = np.stack([(crop * light).astype(np.uint8) for light in (0.6, 0.8, 1.0)])
    return hard("portraits", images, np.array([0, 3, 6]), np.full(3, Split.VALIDATION, np.uint8), {})


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_settings(environment={}, flags={"classify.backend": "fake"})


@pytest.fixture(scope="module")
def shown(portraits: Dataset, settings: Settings) -> dict[SeriesName, Series]:
    return show(settings, portraits, SilentReporter())


def test_faces_are_found_measured_and_read_in_every_series(shown: dict[SeriesName, Series]) -> None:
    assert {name: one.shown for name, one in shown.items()} == dict.fromkeys({one.series for one in MEASURES}, 3)
    assert len(shown["as they are"].observations) == 3
    plain = [each.quality for each in shown["as they are"].observations]
    small = [each.quality for each in shown["smaller"].observations]
    blurred = [each.quality for each in shown["blurred"].observations]
    assert max(one.eye_distance for one in small) < min(one.eye_distance for one in plain)
    assert max(one.blur for one in blurred) > max(one.blur for one in plain)
    assert max(abs(each.roll) for each in shown["turned in the plane"].observations) > 10
    assert max(abs(one.yaw) for one in plain) < 30


def test_the_label_is_held_against_the_annotators(
    portraits: Dataset, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    happy = Expression(tuple(float(label == "happiness") for label in LABELS))
    monkeypatch.setattr(Classifier, "classify", lambda *_: happy)
    monkeypatch.setattr(observations, "_WAYS", {"as they are": observations._WAYS["as they are"]})
    series = show(settings, portraits, SilentReporter())["as they are"]
    assert [each.right for each in series.observations] == [False, True, False]
    assert series.accuracy == pytest.approx(1 / 3)


def test_the_same_faces_give_the_same_answers(
    portraits: Dataset, settings: Settings, shown: dict[SeriesName, Series], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observations, "_WAYS", {"smaller": observations._WAYS["smaller"]})
    assert show(settings, portraits, SilentReporter())["smaller"] == shown["smaller"]


def test_faces_are_drawn_always_the_same_and_never_none(portraits: Dataset) -> None:
    two = draw(portraits, 2)
    assert len(two) == 2
    np.testing.assert_array_equal(two.labels, draw(portraits, 2).labels)
    assert draw(portraits, 0) is draw(portraits, 7) is portraits
    with pytest.raises(SourceError, match="validation faces"):
        draw(portraits.only(Split.TEST), 0)


def test_the_command_reads_validation_faces_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shown: dict[SeriesName, Series]
) -> None:
    labels: list[list[int]] = []

    def recorded(_: Settings, faces: Dataset, report: Reporter) -> dict[SeriesName, Series]:
        labels.append(faces.labels.tolist())
        return shown

    monkeypatch.setattr(observations, "show", recorded)
    votes = np.zeros((3, 10), np.uint8)
    votes[[0, 1, 2], [1, 4, 0]] = 10
    data = tmp_path / "faces.npz"
    np.savez(data, x=np.zeros((3, 48, 48), np.uint8), votes=votes, usage=np.array([1, 0, 2], np.uint8),
             fer2013=np.full(3, 255, np.uint8))  # fmt: skip
    command = ["thresholds", "--data", str(data)]
    answer = CliRunner().invoke(app, [*command, "--json"])
    assert answer.exit_code == 0, answer.output
    found = json.loads(answer.output)
    assert found["series"]["as they are"] | {"accuracy": 0} == {"shown": 3, "found": 3, "accuracy": 0}
    settings = {one["setting"]: (one["now"], one["proposed"], one["tail"]["faces"]) for one in found["measures"]}
    assert settings["max_head_angle_deg"] == (SmoothSettings().max_head_angle_deg, None, 3)
    for one in found["measures"]:
        assert sum(each["faces"] for each in one["bins"]) == found["series"][one["series"]]["found"]
    tables = CliRunner().invoke(app, command).output
    assert f"smooth.min_eye_distance_px: {SmoothSettings().min_eye_distance_px:g} now, no proposal, keep it" in tables
    assert tables.count("right (95 % interval)") == len(MEASURES)
    assert labels == [[LABELS.index("happiness")]] * 2

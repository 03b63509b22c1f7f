"""Attention on the features of a classifier that stands: made, measured, put beside it, and refused in a line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from edge_fer import EdgeFer
from edge_fer.errors import ModelError, SourceError
from edge_fer.expression.attention import open_attention
from edge_fer.expression.verify import verify_classifier
from edge_fer.inference import open_backend
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.cli.app import app
from edge_fer.lab.datasets.faults import draw_faults
from edge_fer.lab.evaluation.contenders import find_artefact
from edge_fer.lab.evaluation.over_time import baselines, frames_of, measure_tracks, smoothed
from edge_fer.lab.evaluation.strips import draw_strip
from edge_fer.lab.evaluation.track_answers import TrackAnswers, evenly
from edge_fer.lab.evaluation.track_run import describe
from edge_fer.lab.evaluation.tracks_record import TrackData, TracksEvaluation
from edge_fer.lab.export.attention import read_by_top, temperature_of
from edge_fer.lab.files import write_record
from edge_fer.lab.tflite.further_output import last_layer, with_features
from edge_fer.lab.training.attention_top import STAGE, TopPlan, train_top
from edge_fer.types import LABELS
from tests.lab.support.portraits import portrait_crop
from tests.lab.support.tiny import TINY, tiny_models, tiny_network
from tests.lab.training.test_thesis import folder_of_faces

pytestmark = pytest.mark.lab

WIDTH, FRAMES = 12, 16


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def answers(count: int, seed: int) -> tuple[TrackAnswers, tuple[np.ndarray, np.ndarray]]:
    """Tracks of a classifier whose first features name the label, and whose last one is low in spoiled frames.

    Spoiled frames name another label, with certainty.
    """
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 7, count)
    features = rng.normal(0, 0.3, (count, 2, FRAMES, WIDTH)).astype(np.float32)
    for track, label in enumerate(labels):
        features[track, 0, :, label] += 2
        features[track, 1, :, (label + 1) % 7] += 4
    features[:, 0, :, -1] += 3
    weight = np.eye(7, WIDTH, dtype=np.float32) * 3
    layer = weight, np.zeros(7, np.float32)
    faults = tuple(draw_faults(FRAMES, rng) for _ in range(count))
    edges = np.full((count, 2, FRAMES), 0.025, np.float32)
    targets = np.eye(7, dtype=np.float32)[labels]
    logits = (features @ weight.T).astype(np.float32)
    return TrackAnswers(features, 1.0, 0, logits, edges, labels, targets, faults), layer


@pytest.fixture(scope="module")
def top() -> Any:
    tracks, layer = answers(150, 0)
    return train_top(tracks, layer, TopPlan(STAGE.model_copy(update={"epochs": 15, "lr": 0.1}), guidance=1.0))


def test_it_learns_which_frames_are_spoiled_and_beats_the_mean(top: Any) -> None:
    tracks, _ = answers(150, 1)
    reader = read_by_top(top, temperature_of(top, tracks))
    found = {share.spoiled: share for share in measure_tracks(tracks, 1.0, {"attention": reader})}
    half = {result.method: result for result in found[0.5].results}
    assert half["attention"].over_mean.low > 0
    assert half["mean of the frames that are not spoiled"].accuracy.value > 0.95
    assert found[0.5].auc is not None
    assert found[0.5].auc > 0.95
    clean = {result.method: result for result in found[0.0].results}
    assert clean["attention"].over_mean.value >= -0.005
    assert found[0.0].auc is None


def test_before_training_it_reads_equal_frames_as_the_classifier_does() -> None:
    tracks, layer = answers(20, 2)
    fresh = train_top(tracks, layer, TopPlan(STAGE.model_copy(update={"epochs": 1, "lr": 1e-9})))
    logits, weights = fresh.read(tracks, np.zeros((20, FRAMES), bool))
    np.testing.assert_allclose(logits, tracks.logits[:, 0].mean(axis=1), atol=1e-3)
    np.testing.assert_allclose(weights, 1 / FRAMES, atol=1e-4)


def test_the_same_seed_trains_the_same_attention(top: Any) -> None:
    tracks, layer = answers(150, 0)
    again = train_top(tracks, layer, TopPlan(STAGE.model_copy(update={"epochs": 15, "lr": 0.1}), guidance=1.0))
    for name, array in top.arrays(1.0).items():
        np.testing.assert_array_equal(again.arrays(1.0)[name], array)


def test_films_have_no_spoiled_frames() -> None:
    tracks, _ = answers(10, 3)
    films = replace(
        tracks, features=tracks.features[:, :1], logits=tracks.logits[:, :1], edges=tracks.edges[:, :1], faults=()
    )
    (result,) = measure_tracks(films, 1.0, {})
    assert result.spoiled is None
    assert {one.method for one in result.results} == {
        "mean of logits", "mean of probabilities", "mean of good frames", "smoother", "sharpest frame",
        "weighted by sharpness",
    }  # fmt: skip


def test_baselines_are_what_they_say() -> None:
    tracks, _ = answers(4, 4)
    sharp = replace(tracks, edges=np.where(np.arange(FRAMES) == 5, 0.01, tracks.edges).astype(np.float32))
    frames = frames_of(sharp, np.zeros((4, FRAMES), bool), 2.0)
    found = baselines(frames)
    np.testing.assert_allclose(found["sharpest frame"], frames.probabilities[:, 5])
    np.testing.assert_allclose(found["mean of probabilities"], frames.probabilities.mean(axis=1))
    np.testing.assert_allclose(found["weighted by sharpness"].sum(axis=1), 1)
    np.testing.assert_allclose(frames.logits, sharp.logits[:, 0] / 2, rtol=1e-6)
    assert smoothed(frames).tolist() == tracks.labels.tolist()


def test_a_blurred_frame_does_not_change_what_the_smoother_shows() -> None:
    tracks, _ = answers(6, 5)
    spoiled = np.zeros((6, FRAMES), bool)
    spoiled[:, -3:] = True
    blurred = np.where(spoiled[:, None], 0.05, tracks.edges).astype(np.float32)
    shown = smoothed(frames_of(replace(tracks, edges=blurred), spoiled, 1.0))
    assert shown.tolist() == tracks.labels.tolist()
    assert smoothed(frames_of(tracks, spoiled, 1.0)).tolist() != tracks.labels.tolist()


def test_frames_of_a_film_are_spread_evenly() -> None:
    assert evenly(16, 16) == list(range(16))
    assert evenly(4, 8) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert evenly(100, 4) == [12, 37, 62, 87]


def test_a_strip_has_a_bar_under_each_frame_red_where_it_is_spoiled() -> None:
    frames = [np.full((48, 48), 128, np.uint8)] * 3
    strip = draw_strip(frames, np.array([0.5, 0.4, 0.1]), np.array([False, True, False]), "x")
    assert strip.shape[1:] == (240, 3)
    bottom = strip[-2, [40, 120, 200]].astype(int)
    assert bottom[1][2] > bottom[1][0]
    assert bottom[0][0] > bottom[0][2]
    heights = [(strip[102:, middle] != 255).any(axis=1).sum() for middle in (40, 120, 200)]
    assert heights[0] > heights[1] > heights[2]


def test_a_second_output_changes_no_label_and_is_what_the_last_layer_reads() -> None:
    content = tiny_network(0)
    both, width = with_features(content)
    assert width == 48
    assert with_features(both) == (both, width)
    weight, bias = last_layer(content)
    image = np.random.default_rng(0).normal(0, 1, (1, 64, 64, 3)).astype(np.float32)
    with open_backend("cpu", content) as before, open_backend("cpu", both) as after:
        (labels,), (same, features) = before.infer(image), after.infer(image)
    np.testing.assert_array_equal(same, labels)
    np.testing.assert_allclose(features.reshape(-1) @ weight.T + bias, labels[0], rtol=1e-5)


def test_a_file_without_such_a_layer_is_refused_in_a_line() -> None:
    content = (ModelStore().folder / "mtcnn_pnet.tflite").read_bytes()
    with pytest.raises(ModelError, match=r"last operator is a dense layer .* found \w+; export it with") as caught:
        with_features(content)
    assert "\n" not in str(caught.value)


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.slow
def test_a_classifier_gets_attention_its_records_stay_true_and_tracks_are_measured(tmp_path: Path) -> None:
    faces, models = folder_of_faces(tmp_path / "faces", 5), tmp_path / "models"
    store = tiny_models(models)
    before = store.spec(TINY, "classify").sha256
    (models / "tiny.md").write_text(f"sha256 `{before[:16]}...`")
    (models / "tiny.export.json").write_text(json.dumps({"sha256": before}))
    command = ("attention", "--models", models, "--model", TINY, "--data", faces, "--cache", tmp_path / "cache",
               "--frames", "4", "--epochs", "2", "--batch", "4", "--strips", tmp_path / "strips")  # fmt: skip
    assert "`tiny` in" in run(*command)
    store = ModelStore(models)
    spec = store.spec(TINY, "classify")
    assert spec.features is not None
    assert spec.features.width == 48
    assert spec.sha256 != before
    assert spec.sha256 in (models / "tiny.export.json").read_text()
    assert f"{spec.sha256[:16]}..." in (models / "tiny.md").read_text()
    verify_classifier(store, TINY)
    attention = open_attention(store, TINY)
    assert attention is not None
    assert (models / "tiny.attention.npz").stat().st_size < 20_000
    assert len(list((tmp_path / "strips").glob("*.png"))) == len(LABELS)
    record = json.loads((models / "tiny.tracks.json").read_text())
    assert (record["model"]["sha256"], record["training"]["tracks"]) == (spec.sha256, 21)
    run(*command)  # again: the file has its second output already, and the tracks are known
    assert ModelStore(models).spec(TINY, "classify") == spec
    out = tmp_path / "report"
    run("tracks", "--models", models, "--model", TINY, "--data", faces, "--cache", tmp_path / "cache", "--out", out,
        "--strips", "2")  # fmt: skip
    found, first = json.loads((out / "tracks.json").read_text()), record["evaluations"][0]["shares"]
    again = found["evaluations"][0]["shares"]
    assert found["attention"] == record["attention"] is not None
    for one, other in zip(first, again, strict=True):
        expected = [result for result in one["results"] if result["method"] != "self-attention"]
        assert other["results"] == expected
    assert "| attention |" in (out / "tracks.md").read_text()
    with EdgeFer(capture__source="sample", models=str(models), classify__model=TINY) as fer:
        weighed = (face.track for reading in fer for face in reading.faces if face.track)
        track = next(track for track in weighed if len({round(one.weight, 6) for one in track.weights}) > 1)
    assert sum(one.weight for one in track.weights) == pytest.approx(1, abs=1e-3)


@pytest.mark.slow
def test_clips_give_attention_too_and_have_no_spoiled_frames(tmp_path: Path) -> None:
    face, models = portrait_crop(), tmp_path / "models"
    for split, person in (("train", "p1"), ("valid", "p2")):
        for place, label in enumerate(LABELS):
            for clip in range(2):
                folder = tmp_path / "clips" / split / label / f"{person}_{place}{clip}"
                folder.mkdir(parents=True)
                for frame in range(5):
                    cv2.imwrite(str(folder / f"{frame:06}.png"), face // 2 + 8 * place + frame)
    tiny_models(models)
    said = run("attention", "--models", models, "--model", TINY, "--data", tmp_path / "clips", "--layout", "clips",
               "--cache", tmp_path / "cache", "--epochs", "2", "--batch", "4")  # fmt: skip
    assert "validation, as filmed: mean of probabilities" in said
    record = json.loads((models / "tiny.tracks.json").read_text())
    (evaluation,) = record["evaluations"]
    assert (evaluation["data"]["synthetic"], evaluation["data"]["tracks"]) == (False, 14)
    (share,) = evaluation["shares"]
    assert (share["spoiled"], share["auc"]) == (None, None)
    assert "clips like these" in (models / "tiny_attention.md").read_text()
    assert open_attention(ModelStore(models), TINY) is not None


def test_tables_of_tracks_go_between_the_marks_of_a_page(tmp_path: Path) -> None:
    page, record = tmp_path / "page.md", tmp_path / "tiny.tracks.json"
    page.write_text("before\n<!-- tracks: begin -->\nold\n<!-- tracks: end -->\nafter\n")
    tracks, _ = answers(10, 6)
    artefact = find_artefact(tiny_models(tmp_path / "models"), TINY)
    data = TrackData(name="faces", split="validation", tracks=10, of=20, frames=16, synthetic=True, seed=0)
    write_record(
        record, describe(artefact, None, {}, TracksEvaluation(data=data, shares=measure_tracks(tracks, 1.0, {})))
    )
    run("table", "--tracks", tmp_path, "--into", page)
    text = page.read_text()
    assert "10 synthetic tracks of 16 frames, validation faces of faces:" in text
    assert "| mean of probabilities |" in text
    assert (text.startswith("before\n"), text.endswith("after\n"), "old" in text) == (True, True, False)
    with pytest.raises(SourceError, match="expected records of tracks, found none"):
        run("table", "--tracks", tmp_path / "models")

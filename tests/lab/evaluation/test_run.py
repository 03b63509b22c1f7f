"""The evaluation of a file, through the runtime, and its reports."""

from __future__ import annotations

import itertools
from contextlib import ExitStack
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from edge_fer.errors import ConfigError, OutputError, SourceError
from edge_fer.inference.model_store import ModelStore
from edge_fer.lab.console import SilentReporter, silent
from edge_fer.lab.datasets.dataset import Split
from edge_fer.lab.datasets.degradations import DEGRADATIONS, displace, shrink, turn
from edge_fer.lab.evaluation.contenders import Answers, classify_all, find_artefact, find_rival, open_contender
from edge_fer.lab.evaluation.record import Evaluation
from edge_fer.lab.evaluation.run import Plan, run_evaluation
from edge_fer.lab.evaluation.summary import compare, describe
from edge_fer.lab.evaluation.tables import evaluation_markdown, summary
from edge_fer.lab.files import read_record, write_record
from edge_fer.types import LABELS, Image
from tests.lab.support.portraits import portrait_crop
from tests.lab.support.tiny import SIZE, TINY, tiny_models, tiny_network

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(find_spec("torch") is None, reason="needs the extra `lab`"),
]

FACES = 30


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    return tiny_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Validation faces by FER+'s convention, two more that are led by contempt, and a test face."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (FACES + 3, 48, 48)).astype(np.uint8)
    votes = np.zeros((FACES + 3, 10), np.uint8)
    votes[np.arange(FACES), np.arange(FACES) % 7] = 10
    votes[FACES : FACES + 2, 7] = 10
    votes[-1, 0] = 10
    usage = [Split.VALIDATION] * (FACES + 2) + [Split.TEST]
    path = tmp_path_factory.mktemp("data") / "faces.npz"
    np.savez(path, x=images, votes=votes, usage=usage, fer2013=[*range(7), *[255] * (FACES - 4)])
    return path


@pytest.fixture(scope="module")
def plan(store: ModelStore, faces: Path) -> Plan:
    return Plan(models=store.folder, model=TINY, data=faces, threads=1)


@pytest.fixture(scope="module")
def evaluation(plan: Plan, store: ModelStore) -> Evaluation:
    rival = store.folder.parent / "rival.tflite"
    rival.write_bytes(tiny_network(1))
    return run_evaluation(replace(plan, against=str(rival), degradations=True), SilentReporter())


def test_logits_come_back_through_the_runtimes_probabilities(store: ModelStore) -> None:
    model = find_artefact(store, TINY)
    image = np.random.default_rng(1).integers(0, 256, (SIZE, SIZE)).astype(np.uint8)
    ticks = itertools.count()
    with ExitStack() as stack:
        contender = open_contender(model, 1, stack)
        (answers,) = classify_all([[image], [None]], [contender], 2, silent, clock=lambda: float(next(ticks)))
        other = open_contender(replace(model, spec=model.spec.model_copy(update={"temperature": 0.7})), 1, stack)
        (same,) = classify_all([[image]], [other], 1, silent)
    assert answers.found.tolist() == [True, False]
    assert answers.named.tolist() == [int(answers.logits[0].argmax()), -1]
    assert answers.seconds.tolist() == [1.0]
    np.testing.assert_allclose(np.diff(answers.logits[0]), np.diff(same.logits[0]), atol=1e-9)


def test_a_missed_face_is_an_error_and_contempt_too() -> None:
    logits = np.eye(7)[[0, 1, 2, 3]] * 5
    logits[3] = np.nan
    answers = Answers(logits, np.array([0.001, 0.002, 0.003]))
    labels = np.array([0, 1, 6, 3])
    found = describe(answers, labels, 0.5, 1, pasted=True, contempt=4)
    assert (found.missed, found.accuracy.value) == (1, 0.5)
    assert found.miss_rate is not None
    assert found.accuracy_of_found is not None
    assert found.eight_class is not None
    assert (found.miss_rate.value, found.accuracy_of_found.value) == (0.25, pytest.approx(2 / 3))
    assert (found.eight_class.faces, found.eight_class.accuracy.value) == (8, 0.25)
    assert found.latency.p50_ms == 2
    assert sum(part.faces for part in found.before.bins) == 3
    as_crops = describe(answers, labels, 0.5, 1, pasted=False, contempt=None)
    assert (as_crops.miss_rate, as_crops.accuracy_of_found, as_crops.eight_class) == (None, None, None)


def test_two_models_are_compared_face_by_face() -> None:
    labels = np.array([0, 1, 2, 3])
    first = Answers(np.eye(7)[[0, 1, 2, 0]], np.ones(4))
    second = Answers(np.eye(7)[[0, 1, 0, 3]], np.ones(4))
    found = compare(first, second, labels)
    assert (found.agreement, found.only_model, found.only_against, found.difference.value) == (0.5, 1, 1, 0.0)


def test_an_evaluation_holds_together(evaluation: Evaluation, store: ModelStore) -> None:
    (crops,) = evaluation.modes
    assert crops.against is not None
    assert crops.comparison is not None
    assert evaluation.against is not None
    assert evaluation.model.sha256 == store.specs[TINY].sha256 != evaluation.against.sha256
    assert (evaluation.data.faces, evaluation.data.of, evaluation.data.side) == (FACES, FACES, 48)
    assert sum(map(sum, crops.model.confusion)) == FACES
    difference = crops.model.accuracy.value - crops.against.accuracy.value
    assert crops.comparison.difference.value == pytest.approx(difference, abs=3e-6)
    assert crops.model.eight_class is not None
    assert crops.model.eight_class.contempt == 2
    assert (crops.model.before.temperature, crops.model.after.temperature) == (1.0, 2.0)
    assert [one.name for one in evaluation.degradations] == [one.name for one in DEGRADATIONS]
    for one in evaluation.degradations:
        assert one.loss.value == pytest.approx(crops.model.accuracy.value - one.accuracy.value, abs=3e-6)
        assert one.loss.low <= one.loss.value <= one.loss.high
        assert one.against is not None
        assert one.difference is not None
        assert one.difference.value == pytest.approx(one.accuracy.value - one.against.value, abs=3e-6)
    assert any("sharper" in note for note in evaluation.notes)


def test_the_same_faces_are_drawn_and_worsened_again(plan: Plan, evaluation: Evaluation) -> None:
    some = replace(plan, faces=10, degradations=True)
    first, second = (run_evaluation(some, SilentReporter()) for _ in range(2))
    assert first.data == second.data
    assert first.data.seed == 0
    assert first.degradations == second.degradations
    assert first.data.sha256 != evaluation.data.sha256
    assert first.modes[0].model.eight_class is None


def test_second_labels_are_those_of_the_faces_that_have_one(plan: Plan) -> None:
    found = run_evaluation(replace(plan, labels="second"), SilentReporter())
    assert (found.data.faces, found.data.labels) == (7, "second")
    assert [one.faces for one in found.modes[0].model.per_class] == [1] * 7
    assert found.modes[0].model.eight_class is None


def test_end_to_end_finds_faces_and_counts_the_missed(tmp_path: Path, plan: Plan) -> None:
    images = np.stack([portrait_crop(), np.full((48, 48), 99, np.uint8)])
    votes = np.zeros((2, 10), np.uint8)
    votes[:, 1] = 10
    np.savez(tmp_path / "faces.npz", x=images, votes=votes, usage=[Split.VALIDATION] * 2)
    pasted = replace(plan, data=tmp_path / "faces.npz", modes=("end-to-end",))
    found = run_evaluation(pasted, SilentReporter()).modes[0].model
    assert (found.faces, found.missed) == (2, 1)
    assert found.confusion[LABELS.index("happiness")][-1] == 1
    np.savez(tmp_path / "faces.npz", x=images[1:], votes=votes[1:], usage=[Split.VALIDATION])
    with pytest.raises(SourceError, match="detector found none"):
        run_evaluation(pasted, SilentReporter())


def test_no_faces_of_a_split_is_a_source_error(plan: Plan) -> None:
    with pytest.raises(SourceError, match="training faces"):
        run_evaluation(replace(plan, split=Split.TRAINING), SilentReporter())


def test_what_is_measured_against_must_be_there(store: ModelStore, tmp_path: Path) -> None:
    model = find_artefact(store, TINY)
    for name in (TINY, "another", str(tmp_path / "missing.tflite"), str(tmp_path)):
        with pytest.raises(
            ConfigError, match=r"the name of a model that edge-fer ships \(lite, lite_128, se_resnet50\) or a .tflite"
        ):
            find_rival(model, name)


def test_a_name_is_that_of_a_model_that_came_along(store: ModelStore, tmp_path: Path) -> None:
    """A retrained model has the name of the one that it is measured beside."""
    mine = replace(find_artefact(store, TINY), name="se_resnet50")
    assert find_rival(mine, "se_resnet50") == find_artefact(ModelStore(), "se_resnet50")


def test_a_model_is_not_measured_against_itself(store: ModelStore) -> None:
    shipped, tiny = find_artefact(ModelStore(), "se_resnet50"), find_artefact(store, TINY)
    for model, name in ((shipped, "se_resnet50"), (tiny, str(store.folder / "tiny.tflite"))):
        with pytest.raises(ConfigError, match=f"another model than `{model.name}`, found the very same file; give"):
            find_rival(model, name)


def test_a_file_is_what_the_manifest_beside_it_says(store: ModelStore, tmp_path: Path) -> None:
    shipped = find_artefact(ModelStore(), "se_resnet50")
    assert find_rival(shipped, str(store.folder / "tiny.tflite")) == find_artefact(store, TINY)
    (tmp_path / "lonely.tflite").write_bytes(tiny_network(3))
    lonely = find_rival(find_artefact(store, TINY), str(tmp_path / "lonely.tflite"))
    assert (lonely.name, lonely.spec.quantization, lonely.spec.temperature) == ("lonely", "float32", 2.0)


def test_models_of_the_same_name_are_told_apart(evaluation: Evaluation) -> None:
    assert evaluation.against is not None
    text = evaluation_markdown(evaluation)
    assert "| tiny.tflite (float32) | rival.tflite (float32) |" in text
    assert "Accuracy of `tiny.tflite` less that of `rival.tflite`" in text
    alike = evaluation.against.model_copy(update={"file": "tiny.tflite"})
    text = evaluation_markdown(evaluation.model_copy(update={"against": alike}))
    ours, theirs = evaluation.model.sha256[:8], alike.sha256[:8]
    assert f"| tiny.tflite {ours} (float32) | tiny.tflite {theirs} (float32) |" in text
    assert f"Accuracy of `tiny.tflite {ours}` less that of `tiny.tflite {theirs}`" in text


def test_reports_are_written_and_read_back(evaluation: Evaluation, tmp_path: Path) -> None:
    from edge_fer.lab.evaluation.plots import plot_confusion, plot_reliability

    write_record(tmp_path / "deep" / "evaluation.json", evaluation)
    assert read_record(tmp_path / "deep" / "evaluation.json", Evaluation) == evaluation
    for plot in (plot_reliability, plot_confusion):
        plot(tmp_path / "plot.png", evaluation)
        assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    text = evaluation_markdown(evaluation)
    assert evaluation.model.sha256 in text
    assert all(one.about in text for one in evaluation.degradations)
    assert "and the accuracy less its" in text
    assert f"{evaluation.modes[0].model.accuracy.value:.1%}" in summary(evaluation)[1]
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="another folder"):
        write_record(tmp_path / "file" / "x.json", evaluation)


@pytest.mark.parametrize("content", ["{", "{}", '{"schema": "edge-fer/evaluation/2"}'])
def test_another_file_is_no_evaluation(content: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(SourceError, match="edge-fer/evaluation/1"):
        read_record(tmp_path / "x.json", Evaluation)
    with pytest.raises(SourceError, match=r"missing\.json"):
        read_record(tmp_path / "missing.json", Evaluation)


def test_options_that_make_no_sense_are_config_errors(faces: Path) -> None:
    from edge_fer.lab.cli.evaluate import evaluate

    for option in ("split", "mode", "labels", "layout"):
        with pytest.raises(ConfigError, match="found `x`"):
            evaluate(faces, **{option: "x"})


def test_the_command_writes_four_files(store: ModelStore, faces: Path, tmp_path: Path) -> None:
    from edge_fer.lab.cli.evaluate import evaluate

    evaluate(faces, models=store.folder, model=TINY, mode="crops", out=tmp_path)
    names = {"evaluation.json", "evaluation.md", "reliability.png", "confusion.png"}
    assert {path.name for path in tmp_path.iterdir()} == names


def disc(x: int, y: int) -> Image:
    image = np.zeros((41, 41), np.uint8)
    image[y - 2 : y + 3, x - 2 : x + 3] = 200
    return image


def middle(image: Image) -> tuple[float, float]:
    rows, columns = np.indices(image.shape)
    return float((columns * image).sum() / image.sum()), float((rows * image).sum() / image.sum())


def test_a_turn_is_clockwise_as_seen() -> None:
    assert middle(turn(disc(30, 20), 90)) == pytest.approx((20, 30), abs=0.1)


def test_a_box_is_displaced_as_far_as_it_says() -> None:
    x, y = middle(displace(disc(20, 20), 0.1, np.random.default_rng(3)))
    assert np.hypot(x - 20, y - 20) == pytest.approx(4.1, abs=0.1)


def test_sampling_keeps_no_more_than_it_says() -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (48, 24))
    assert np.ptp(shrink(stripes, 0.5)) <= 1
    assert shrink(stripes, 1.0).tolist() == stripes.tolist()


@pytest.mark.parametrize("degradation", DEGRADATIONS, ids=lambda one: one.name)
def test_a_degraded_crop_differs_and_is_the_same_again(degradation) -> None:
    image = portrait_crop()
    first, second = (degradation.change(image, np.random.default_rng(5)) for _ in range(2))
    assert first.shape == image.shape
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, second)
    assert np.abs(first.astype(int) - image).mean() > 0.5

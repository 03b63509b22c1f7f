"""Files that are written agree with the networks that they were written from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edge_fer.errors import ConfigError, EdgeFerError, ModelError, OutputError, SourceError
from edge_fer.expression.classifier import open_network
from edge_fer.expression.golden_faces import golden_face
from edge_fer.inference import open_backend
from edge_fer.inference.manifest import MtcnnSpec
from edge_fer.inference.model_store import ModelStore
from edge_fer.inference.picture_spec import MtcnnInput
from edge_fer.lab.cli.export import export
from edge_fer.lab.console import SilentReporter
from edge_fer.lab.datasets import open_dataset
from edge_fer.lab.datasets.dataset import Dataset, Split
from edge_fer.lab.edgetpu.rules import check_int8
from edge_fer.lab.export.balance import adjustment
from edge_fer.lab.export.classifier import ABSTAIN_BELOW, export_classifier
from edge_fer.lab.export.export_record import Export
from edge_fer.lab.export.job import Plan, prepare
from edge_fer.lab.files import read_record
from edge_fer.lab.model_folder import assembling, copy_entry, find_entry, update_manifest, write_artefact
from edge_fer.lab.networks.se_resnet50 import SEResNet50
from edge_fer.lab.weights.npz import Weights, load_weights, save_weights
from edge_fer.lab.weights.provenance import Origin, Provenance, origin_of, read_provenance
from edge_fer.types import LABELS
from tests.lab.support.portraits import portrait_crop
from tests.support.two_inputs import NAME as TWO_INPUTS
from tests.support.two_inputs import two_inputs_store

pytestmark = pytest.mark.lab


def test_a_folder_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="choose another --out"):
        write_artefact(tmp_path / "file" / "models", "x", b"")


def test_the_classifier_needs_weights_and_data() -> None:
    with pytest.raises(ConfigError, match="--no-classifier"):
        export(mtcnn=False)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """An untrained network at a resolution of 56 pixels, with a second head."""
    torch.manual_seed(0)
    save_weights(tmp_path / "weights.npz", Weights(SEResNet50(resolution=56), torch.nn.Linear(1000, len(LABELS))))
    return tmp_path / "weights.npz"


@pytest.fixture
def faces(tmp_path: Path) -> Dataset:
    """The same face at ten brightnesses: six times for calibration, four for validation, three with a second label."""
    x = np.stack([portrait_crop() // 2 + 5 * index for index in range(10)]).astype(np.uint8)
    votes = np.zeros((10, 10), np.uint8)
    votes[np.arange(10), np.arange(10) % 7] = 10
    usage = np.array([Split.TRAINING] * 6 + [Split.VALIDATION] * 4)
    second = np.where(np.arange(10) == 9, 255, np.arange(10) % 7)
    np.savez(tmp_path / "faces.npz", x=x, votes=votes, usage=usage, fer2013=second)
    return open_dataset(tmp_path / "faces.npz")


@pytest.mark.filterwarnings("ignore")  # the converter's own, from half a dozen libraries
def test_the_classifier_from_weights_to_card(tmp_path: Path, weights: Path, faces: Dataset) -> None:
    folder = tmp_path / "models"
    about = Provenance(source="a test", licence="none", limits="It was never trained.")
    plan = Plan(provenance=about, faces=4, chosen_on=2, float_file=tmp_path / "kept" / "float.tflite")
    export_classifier(prepare(weights, faces, plan), folder, ModelStore(), SilentReporter())
    store = ModelStore(folder)
    spec = store.spec("my_se_resnet50", "classify")
    content = store.load("my_se_resnet50", "classify")
    graph = check_int8(content)
    names = [node.name for node in graph.nodes]
    assert names[0] == "AVERAGE_POOL_2D"
    assert set(names).isdisjoint({"TRANSPOSE", "PADV2", "RESHAPE", "QUANTIZE", "DEQUANTIZE"})
    assert spec.labels == LABELS
    assert spec.accuracy is not None
    assert spec.accuracy.images == 4
    assert spec.temperature == 1, "four faces are too few to fit one"
    assert (spec.abstain_below, spec.licence) == (ABSTAIN_BELOW, "none")
    assert_the_golden_faces_differ_most(store)
    with open_backend("cpu", content) as backend:
        source, target = backend.inputs[0], backend.outputs[0]
    assert (source.shape, target.shape) == ((1, 224, 224, 3), (1, 7))
    pixels = np.arange(256)
    quantized = np.rint((pixels / 255 - spec.input.mean) / spec.input.std / source.scale) + source.zero_point
    assert np.abs(quantized - (pixels - 128)).max() <= 1
    facts = read_record(folder / "my_se_resnet50.export.json", Export)
    assert (facts.resolution, facts.sha256, facts.validation.images) == (56, spec.sha256, 4)
    assert len(facts.calibration.candidates) == 5
    assert facts.validation.abstain_from == "default"
    card = (folder / spec.card).read_text()
    assert "a confidence of 0.50 (not measured: too few validation faces), unless" in card
    assert "It was never trained." in card
    assert (tmp_path / "kept" / "float.tflite").stat().st_size > 100e6


def assert_the_golden_faces_differ_most(store: ModelStore) -> None:
    spec = store.spec("my_se_resnet50", "classify")
    with open_network(store, "my_se_resnet50") as classifier:

        def difference(seeds: tuple[int, ...]) -> float:
            one, other = (classifier.classify(golden_face(spec.input, seed)).probabilities for seed in seeds)
            return max(abs(p - q) for p, q in zip(one, other, strict=True))

        chosen = difference(spec.failover.golden_seeds)
        assert chosen > 0
        assert all(difference((seed, seed + 1)) <= chosen for seed in range(8))


@pytest.mark.filterwarnings("ignore")
def test_the_second_head_is_measured_by_the_second_labels(tmp_path: Path, weights: Path, faces: Dataset) -> None:
    plan = Plan(name="other", head="second", faces=2, chosen_on=2)
    origin = Origin(source="trained further from a test", licence="for tests", abstain_below=0.35)
    save_weights(weights, replace(load_weights(weights), origin=origin))
    export_classifier(prepare(weights, faces, plan), tmp_path / "models", ModelStore(), SilentReporter())
    assert read_record(tmp_path / "models" / "other.export.json", Export).validation.images == 3

    spec = ModelStore(tmp_path / "models").spec("other", "classify")
    assert (spec.abstain_below, spec.source, spec.licence) == (0.35, origin.source, "for tests")
    card = (tmp_path / "models" / spec.card).read_text()
    assert "Weights: trained further from a test. Licence: for tests." in card
    assert "a confidence of 0.35 (that of the network it was trained further from;" in card


def test_the_origin_stays_with_the_weights_and_ones_own_words_go_before_it(tmp_path: Path) -> None:
    origin = origin_of("se_resnet50", ModelStore().spec("se_resnet50", "classify"))
    assert origin.source.startswith("trained further from se_resnet50 (trained by this project")
    assert origin.licence.startswith("research use")
    assert origin.abstain_below == 0.5
    save_weights(tmp_path / "w.npz", Weights(SEResNet50(width=0.125), None, origin))
    assert load_weights(tmp_path / "w.npz").origin == origin
    save_weights(tmp_path / "w.npz", Weights(SEResNet50(width=0.125)))
    assert load_weights(tmp_path / "w.npz").origin is None
    assert Provenance().over(None) == Provenance()
    found = Provenance(licence="mine", limits="At night.").over(origin)
    assert found == Provenance(source=origin.source, licence="mine", limits="At night.")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"weights": Path("none.npz")}, ModelError, r"at none\.npz, found: No such file or directory; check the path"),
        ({"data": Path("nowhere")}, SourceError, "expected faces at nowhere"),
        ({"about": Path("none.yaml")}, ConfigError, "expected a YAML file about the weights"),
        ({}, SourceError, r"at least 32 training faces in ferplus to calibrate on, found 6; add photos"),
    ],
)
def test_what_is_given_is_looked_at_before_anything_is_written(
    tmp_path: Path, weights: Path, faces: Dataset, change: dict[str, Any], error: type[EdgeFerError], message: str
) -> None:
    out = tmp_path / "out" / "models"
    with pytest.raises(error, match=message) as caught:
        export(**{"weights": weights, "data": tmp_path / "faces.npz", "out": out} | change)
    assert "\n" not in str(caught.value)
    assert "Errno" not in str(caught.value)
    assert not out.parent.exists()


def test_there_must_be_faces_to_measure_on(weights: Path, faces: Dataset) -> None:
    with pytest.raises(SourceError, match="expected validation faces in ferplus to measure on, found none"):
        prepare(weights, faces.only(Split.TRAINING), Plan(faces=4))


def spec_of(folder: Path, name: str, content: bytes) -> MtcnnSpec:
    return MtcnnSpec(
        task="refine", input=MtcnnInput(size=24, colour="rgb", mean=0.5, std=0.5), quantization="float32",
        source="here", licence="MIT", **write_artefact(folder, name, content),
    )  # fmt: skip


def _fail_half_way(out: Path) -> None:
    with assembling(out) as folder:
        write_artefact(folder, "new", b"new")
        write_artefact(folder / "new.tflite", "x", b"")


def test_artefacts_come_together_or_not_at_all(tmp_path: Path) -> None:
    out = tmp_path / "models"
    update_manifest(out, {"old": spec_of(out, "old", b"old")})
    with pytest.raises(OutputError):
        _fail_half_way(out)
    assert {path.name for path in out.iterdir()} == {"manifest.yaml", "old.tflite"}
    with assembling(out) as folder:
        update_manifest(folder, {"new": spec_of(folder, "new", b"new")})
    store = ModelStore(out)
    assert (store.load("old", "refine"), store.load("new", "refine")) == (b"old", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["models"]
    assert find_entry(out / "x.tflite", b"new") == ("new", store.specs["new"])
    assert find_entry(out / "new.tflite", b"other") is None
    assert find_entry(tmp_path / "new.tflite", b"new") is None


def test_a_manifest_that_is_damaged_ends_an_export_before_it_begins(tmp_path: Path) -> None:
    (tmp_path / "manifest.yaml").write_text("models: 3")
    with pytest.raises(ModelError, match="expected a model manifest"), assembling(tmp_path):
        pytest.fail("should not have begun")


@pytest.mark.parametrize(("resolution", "side"), [(56, 224), (64, 192), (80, 160), (112, 224), (256, 256)])
def test_the_picture_is_a_whole_number_of_times_the_resolution(
    weights: Path, faces: Dataset, resolution: int, side: int
) -> None:
    assert prepare(weights, faces, Plan(resolution=resolution, faces=2)).input.size == side


def test_rare_labels_are_named_more_often_by_the_last_bias(weights: Path, faces: Dataset) -> None:
    plain, adjusted = (prepare(weights, faces, Plan(faces=2, balance=part)).net.head.bias for part in (0.0, 0.5))
    labels = faces.only(Split.TRAINING).labels
    np.testing.assert_allclose((adjusted - plain).detach(), adjustment(labels, 0.5), atol=1e-6)


def test_a_missing_second_head_is_told(tmp_path: Path, faces: Dataset) -> None:
    save_weights(tmp_path / "one.npz", Weights(SEResNet50(resolution=56)))
    with pytest.raises(ModelError, match="expected a second head"):
        prepare(tmp_path / "one.npz", faces, Plan(head="second"))


@pytest.mark.parametrize(
    ("content", "message"),
    [("colour: red", "the keys source, licence"), ("- a", "the keys source"), ("a: [", "YAML"), (None, "No such file")],
)
def test_words_for_the_card_are_checked(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "about.yaml").write_text(content)
    with pytest.raises(ConfigError, match=message):
        read_provenance(tmp_path / "about.yaml")


def test_input_spec_of_the_nets_is_that_of_the_package() -> None:
    spec = MtcnnInput(size=None, colour="rgb", mean=0.5, std=128 / 255)
    for pixel in (0, 127, 255):
        assert (pixel / 255 - spec.mean) / spec.std == pytest.approx((pixel - 127.5) / 128)


def test_a_spec_survives_the_manifest(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, "net", b"content")
    update_manifest(tmp_path, {"net": spec})
    assert ModelStore(tmp_path).specs == {"net": spec}
    assert ModelStore(tmp_path).load("net", "refine") == b"content"


def test_an_entry_is_copied_with_all_of_its_files(tmp_path: Path) -> None:
    for name in ("from", "to"):
        (tmp_path / name).mkdir()
    store = two_inputs_store(tmp_path / "from")
    spec = store.spec(TWO_INPUTS, "classify")
    card = ModelStore().folder / ModelStore().spec("lite", "classify").card
    spec = spec.model_copy(update={"card": str(card)})
    entry = copy_entry(store, spec, tmp_path / "to")
    update_manifest(tmp_path / "to", {"copied": entry})
    there = ModelStore(tmp_path / "to")
    assert [there.read(file) for file in entry.files] == [store.read(file) for file in spec.files]
    assert {path.name for path in (tmp_path / "to").iterdir()} == {
        "manifest.yaml", "lite.md", "two_inputs.tflite", "two_inputs_edgetpu.tflite", "two_inputs.npz",
    }  # fmt: skip

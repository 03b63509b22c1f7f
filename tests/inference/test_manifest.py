"""What a manifest may say, and the one line for what it may not."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from edge_fer.errors import ModelError
from edge_fer.inference.manifest import ClassifierSpec, EnsembleSpec, Manifest, MtcnnSpec
from edge_fer.inference.manifest_aggregate import AggregateSpec
from edge_fer.inference.manifest_parser import parse_manifest
from edge_fer.inference.model_store import MANIFEST, ModelStore, packaged_folder
from edge_fer.types import LABELS

PATH = Path("/models/manifest.yaml")


@pytest.fixture
def mtcnn() -> dict[str, Any]:
    return {
        "task": "refine", "file": "net.tflite", "sha256": "0" * 64, "quantization": "float32", "source": "a test",
        "licence": "MIT", "card": "net.md", "input": {"size": 24, "colour": "rgb", "mean": 0.5, "std": 0.5},
    }  # fmt: skip


@pytest.fixture
def classifier(mtcnn: dict[str, Any]) -> dict[str, Any]:
    crop = {"eye_distance": 0.3, "eye_y": 0.37, "detail": 64}
    return mtcnn | {"task": "classify", "labels": list(LABELS), "crop": crop}


@pytest.fixture(scope="module")
def shipped_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the shipped networks, whose manifest may be written."""
    folder = tmp_path_factory.mktemp("models")
    for file in packaged_folder().iterdir():
        if file.name != MANIFEST:
            (folder / file.name).symlink_to(file)
    return folder


def parse(entry: object) -> Manifest:
    return parse_manifest({"schema": "edge-fer/models/1", "models": {"net": entry}}, PATH)


def parsed(entry: dict[str, Any]) -> ClassifierSpec:
    spec = parse(entry).models["net"]
    assert isinstance(spec, ClassifierSpec)
    return spec


def complaint(entry: object) -> str:
    with pytest.raises(ModelError) as caught:
        parse(entry)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(f"expected a model manifest in {PATH}, found in entry `net`")
    assert text.endswith("; see docs/bring-your-own-network.md")
    return text.partition("entry `net`")[2]


def test_the_task_chooses_the_fields(mtcnn: dict[str, Any], classifier: dict[str, Any]) -> None:
    assert isinstance(parse(mtcnn).models["net"], MtcnnSpec)
    assert parsed(classifier).output == "logits"


def test_the_shipped_classifiers_are_measured_and_compared_closely() -> None:
    content = yaml.safe_load((packaged_folder() / MANIFEST).read_text())
    specs = parse_manifest(content, PATH).models.values()
    classifiers = [spec for spec in specs if isinstance(spec, ClassifierSpec)]
    assert {spec.failover.tolerance for spec in classifiers} == {0.2}
    assert all(spec.accuracy and spec.labels == spec.targets == LABELS for spec in classifiers)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"task": "clasify"},
            ", field `task`: expected one of 'aggregate', 'classify', 'detect', 'ensemble', 'landmarks', "
            "'propose', 'refine', 'output', not 'clasify'",
        ),
        ({"task": None}, ", field `task`: it is missing"),
        ({"card": None}, ", field `card`: it is missing"),
        ({"labels": list(LABELS)}, ", field `labels`: there is no such field"),
        ({"speed": 3}, ", field `speed`: there is no such field"),
        (
            {"sha256": "123"},
            ", field `sha256`: expected a SHA-256 of 64 lower-case hexadecimal digits, in",
        ),
        ({"sha256": 0}, ", field `sha256`: expected a SHA-256 of 64 lower-case hexadecimal digits, in quotes, not 0"),
        ({"sha265": "0"}, ", field `sha265`: there is no such field, did you mean `sha256`?"),
        ({"quantization": "int4"}, ", field `quantization`: input should be 'int8' or 'float32', not 'int4'"),
        ({"edgetpu": {"file": "x"}}, ", field `edgetpu.sha256`: it is missing"),
    ],
)
def test_a_wrong_field_is_named_with_its_entry_and_file(
    mtcnn: dict[str, Any], change: dict[str, Any], expected: str
) -> None:
    entry = {name: value for name, value in (mtcnn | change).items() if value is not None}
    assert expected in complaint(entry)


@pytest.mark.parametrize(
    ("change", "field", "expected"),
    [
        ({"colour": "green"}, "colour", "input should be 'grey', 'rgb' or 'bgr', not 'green'"),
        ({"size": None}, "size", "input should be a valid integer, not None"),
        ({"size": 0}, "size", "input should be greater than 0, not 0"),
        ({"mean": [0.4, 0.5]}, "mean", "expected a number, or a list of 3, one for each channel, found [0.4, 0.5]"),
        ({"colour": "grey", "mean": [0.4]}, "mean", "expected a number, or a list of 3, one for each channel"),
        ({"std": [0.2, 0.2, 0.0]}, "std", "expected 1e-06 to 1000, found (0.2, 0.2, 0.0)"),
        ({"std": 0}, "std", "expected 1e-06 to 1000, found 0.0"),
        ({"std": 1001}, "std", "expected 1e-06 to 1000, found 1001.0"),
        ({"mean": 1e30}, "mean", "expected -1000 to 1000, found 1e+30"),
        ({"mean": [0, 0, -1001]}, "mean", "expected -1000 to 1000, found (0.0, 0.0, -1001.0)"),
        ({"mean": "a half"}, "mean", "expected a number, or a list of 3, one for each channel, found 'a half'"),
        ({"mean": float("nan")}, "mean", "expected a number, or a list of 3, one for each channel, found nan"),
    ],
)
def test_a_wrong_input_is_one_line(
    classifier: dict[str, Any], change: dict[str, Any], field: str, expected: str
) -> None:
    entry = classifier | {"input": classifier["input"] | change}
    assert complaint(entry).startswith(f", field `input.{field}`: {expected}")


@pytest.mark.parametrize(
    ("change", "field", "expected"),
    [
        ({"labels": LABELS[:6]}, "label_map", "for each of the seven, found none for neutral"),
        ({"labels": [*LABELS, "fear"]}, "labels", "expected every label once, found fear more than once"),
        (
            {"labels": [*LABELS, "contempt"]},
            "label_map",
            "what to make of the label `contempt`, one of anger, disgust, ",
        ),
        ({"label_map": {"contempt": None}}, "label_map", "expected labels of this network (anger, "),
        ({"label_map": {"fear": "anger"}}, "label_map", "found none for fear"),
        ({"label_map": {"fear": "dread"}}, "label_map.fear", "input should be 'anger', "),
        ({"labels": "Anger"}, "labels", "expected a list, not 'Anger'"),
        ({"temprature": 2}, "temprature", "there is no such field, did you mean `temperature`?"),
        ({"failover": {"tolerence": 2}}, "failover.tolerence", "there is no such field, did you mean `tolerance`?"),
        (
            {"edgetpu": {"file": "x", "sha256": "0" * 64, "compiler": "x", "compilers": "x"}},
            "edgetpu.compilers",
            "there is no such field, did you mean `compiler`?",
        ),
        ({"output": "softmax"}, "output", "input should be 'logits' or 'probabilities', not 'softmax'"),
        ({"valence_arousal": {"width": 3}}, "valence_arousal.width", "input should be 2, not 3"),
        ({"failover": {"golden_seeds": [1]}}, "failover.golden_seeds", "expected at least 2 values, not [1]"),
    ],
)
def test_a_wrong_label_or_output_is_one_line(
    classifier: dict[str, Any], change: dict[str, Any], field: str, expected: str
) -> None:
    text = complaint(classifier | change)
    assert text.startswith(f", field `{field}`: ")
    assert expected in text


def test_labels_of_other_names_become_one_of_the_seven_or_none(classifier: dict[str, Any]) -> None:
    labels = ["neutral", "happy", "surprise", "sadness", "anger", "disgust", "fear", "contempt"]
    spec = parsed(classifier | {"labels": labels, "label_map": {"happy": "happiness", "contempt": None}})
    assert spec.targets == ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", None)


@pytest.mark.parametrize(
    ("colour", "mean", "means"),
    [
        ("grey", 0.5, (0.5,)),
        ("grey", [1, 2, 3], (1.0, 2.0, 3.0)),
        ("rgb", 0.5, (0.5,) * 3),
        ("bgr", [0.1, 0.2, 0.3], (0.1, 0.2, 0.3)),
    ],
)
def test_one_mean_is_for_all_channels(
    classifier: dict[str, Any], colour: str, mean: object, means: tuple[float, ...]
) -> None:
    entry = classifier | {"input": {"size": 24, "colour": colour, "mean": mean, "std": 0.5}}
    assert parsed(entry).input.means == means
    assert len(parsed(entry).input.stds) == len(means)


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (None, "at the top level: expected"),
        ({"models": {}}, "at `schema`: it is missing"),
        (
            {"schema": "edge-fer/models/1", "models": {}, "model": {}},
            "at `model`: there is no such field, did you mean ",
        ),
        ({"schema": "edge-fer/models/2", "models": {}}, "at `schema`: input should be 'edge-fer/models/1'"),
        ({"schema": "edge-fer/models/1", "models": [1]}, "at `models`: input should be a valid dictionary"),
        ({"schema": "edge-fer/models/1", "models": {"net": 3}}, "in entry `net`: "),
    ],
)
def test_what_is_no_manifest_says_where(content: object, place: str) -> None:
    with pytest.raises(ModelError) as caught:
        parse_manifest(content, PATH)
    assert f"found {place}" in str(caught.value)


def ensemble_of(**weights: float) -> dict[str, Any]:
    members = [{"name": name, "weight": weight} for name, weight in weights.items()]
    return {"task": "ensemble", "members": members, "source": "a test", "licence": "MIT", "card": "net.md"}


def test_an_ensemble_has_members_and_no_file(classifier: dict[str, Any]) -> None:
    models = {"a": classifier, "b": classifier, "net": ensemble_of(a=0.7, b=0.3)}
    found = parse_manifest({"schema": "edge-fer/models/1", "models": models}, PATH).models["net"]
    assert isinstance(found, EnsembleSpec)
    assert (found.files, found.summary) == ((), "0.70 a, 0.30 b")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"members": []}, ", field `members`: expected at least 1 values, not []"),
        (ensemble_of(a=1.2), ", field `members.0.weight`: input should be less than or equal to 1, not 1.2"),
        (ensemble_of(a=0), ", field `members.0.weight`: input should be greater than 0, not 0"),
        (ensemble_of(a=0.5, b=0.4), ", field `members`: expected weights that sum to 1, found 0.9"),
        ({"members": ensemble_of(a=0.5)["members"] * 2}, ", field `members`: expected every member once, found a more"),
        (ensemble_of(a=0.5, c=0.5), ", field `members`: expected classifiers of this folder (a, b), not `c`"),
        (ensemble_of(a=0.5, net=0.5), ", field `members`: expected classifiers of this folder (a, b), not `net`"),
        (
            ensemble_of(a=0.5, b=0.5),
            ", field `members`: expected members that take faces cut out alike, found `a` with eye_distance=0.3 "
            "eye_y=0.37 detail=64, and `b` with eye_distance=0.3 eye_y=0.37 detail=48",
        ),
        ({"temprature": 2}, ", field `temprature`: there is no such field, did you mean `temperature`?"),
    ],
)
def test_a_wrong_ensemble_is_one_line(classifier: dict[str, Any], change: dict[str, Any], expected: str) -> None:
    coarse = classifier | {"crop": classifier["crop"] | {"detail": 48}}
    models = {"a": classifier, "b": coarse, "net": ensemble_of(a=1) | change}
    with pytest.raises(ModelError) as caught:
        parse_manifest({"schema": "edge-fer/models/1", "models": models}, PATH)
    assert f"found in entry `net`{expected}" in str(caught.value)
    assert "\n" not in str(caught.value)


def attention_of(name: str) -> dict[str, Any]:
    entry = {"task": "aggregate", "of": name, "file": "net.attention.npz", "sha256": "0" * 64}
    return entry | {"source": "a test", "licence": "MIT", "card": "net.md"}


def test_an_attention_is_of_a_classifier_and_has_one_file(classifier: dict[str, Any]) -> None:
    models = {"a": classifier | {"features": {"width": 512}}, "net": attention_of("a")}
    found = parse_manifest({"schema": "edge-fer/models/1", "models": models}, PATH).models["net"]
    assert isinstance(found, AggregateSpec)
    assert ([file.file for file in found.files], found.summary) == (["net.attention.npz"], "of a, net.attention.npz")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (attention_of("b"), ", field `of`: expected a classifier of this folder with `features` (a), not `b`"),
        (attention_of("c"), ", field `of`: expected a classifier of this folder with `features` (a), not `c`"),
        ({}, ", field `of`: expected one attention for each classifier, and `zet` is of `a`, too"),
        ({"fil": "x"}, ", field `fil`: there is no such field, did you mean `file`?"),
    ],
)
def test_a_wrong_attention_is_one_line(classifier: dict[str, Any], change: dict[str, Any], expected: str) -> None:
    models = {"a": classifier | {"features": {"width": 512}}, "b": classifier, "net": attention_of("a") | change}
    with pytest.raises(ModelError) as caught:
        parse_manifest({"schema": "edge-fer/models/1", "models": models | {"zet": attention_of("a")}}, PATH)
    assert f"found in entry `net`{expected}" in str(caught.value)
    assert "\n" not in str(caught.value)


SHIPPED = yaml.safe_load((packaged_folder() / MANIFEST).read_text())
SHIPPED["models"]["both"] = ensemble_of(se_resnet50=0.6, lite=0.4) | {"card": "lite.md"}
ODD = st.sampled_from(
    [None, True, -1, 0, 10**30, float("nan"), float("inf"), "", "x", "../a", "/dev/zero", "a\0b", [], [1], {}, {"a": 1}]
) | st.text(max_size=3)


def places(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in nested names, values and lists."""
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in inner:
        yield (*path, key)
        yield from places(value, (*path, key))


@given(st.sampled_from(sorted(places(SHIPPED), key=str)), ODD, st.booleans())
@examples(max_examples=25)
def test_a_manifest_with_anything_anywhere_is_read_or_refused_in_one_line(
    shipped_files: Path, place: tuple[Any, ...], odd: object, drop: bool
) -> None:
    *way, last = place
    content = inner = copy.deepcopy(SHIPPED)
    for key in way:
        inner = inner[key]
    inner[last] = odd
    if drop:
        del inner[last]
    (shipped_files / MANIFEST).write_text(yaml.safe_dump(content))
    try:
        store = ModelStore(shipped_files)
        for spec in store.specs.values():
            store.check_card(spec)
    except ModelError as error:
        complaint = str(error)
        assert "\n" not in complaint
        assert len(complaint) < 2000


@pytest.mark.parametrize("name", ["a\0b", ""])
def test_a_file_has_a_name_that_a_file_can_have(name: str, mtcnn: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="field `file`: expected the name of a file"):
        parse(mtcnn | {"file": name})


def test_what_is_no_file_is_not_read(tmp_path: Path, mtcnn: dict[str, Any]) -> None:
    (tmp_path / "net.tflite").symlink_to("/dev/zero")
    (tmp_path / MANIFEST).write_text(yaml.safe_dump({"schema": "edge-fer/models/1", "models": {"net": mtcnn}}))
    with pytest.raises(ModelError, match="found no regular file"):
        ModelStore(tmp_path).load("net", "refine")


def test_a_manifest_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).symlink_to("/dev/zero")
    with pytest.raises(ModelError, match="expected at most 131072 bytes"):
        ModelStore(tmp_path)


@pytest.mark.filterwarnings("error")
def test_a_mean_for_each_channel_is_written_as_it_was_read(classifier: dict[str, Any]) -> None:
    entry = classifier | {"input": {"size": 24, "colour": "grey", "mean": [0.5, 0.4, 0.3], "std": 0.25}}
    assert parsed(entry).model_dump(mode="json")["input"]["mean"] == [0.5, 0.4, 0.3]

"""Ranges, the choice among them, and what quantization costs each layer."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from typer.testing import CliRunner

from edge_fer.errors import ConfigError, EdgeFerError, ModelError
from edge_fer.inference.manifest import ClassifierSpec
from edge_fer.inference.manifest_parts import CropSpec
from edge_fer.inference.picture_spec import InputSpec
from edge_fer.lab.cli.app import app
from edge_fer.lab.edgetpu.rules import check_int8
from edge_fer.lab.evaluation.logits import classify
from edge_fer.lab.export import quantize
from edge_fer.lab.export.convert import convert
from edge_fer.lab.export.layer_errors import (
    INPUT,
    PLOT,
    RECORD,
    TABLE,
    compare_layers,
    decibels,
    match_tensors,
    write_report,
)
from edge_fer.lab.export.quantize import Extremes, choose_percentile, measure_extremes, quantize_int8
from edge_fer.lab.model_folder import update_manifest, write_artefact
from edge_fer.lab.networks.layers import ConvNorm
from edge_fer.lab.networks.residual import Bottleneck
from edge_fer.lab.tflite.graph import Graph, Node
from edge_fer.types import LABELS
from tests.lab.datasets.test_datasets import picture

# The converter and the quantizer warn of this and that, from half a dozen libraries.
pytestmark = [pytest.mark.lab, pytest.mark.filterwarnings("ignore")]

SIZE = 32
CROP = CropSpec(eye_distance=0.3, eye_y=0.37, detail=SIZE)
SPEC = InputSpec(size=SIZE, colour="grey", mean=0.5, std=0.25)


class Tiny(nn.Module):
    """The pieces of the real network, once each."""

    def __init__(self, widths: tuple[int, int] = (8, 4)) -> None:
        super().__init__()
        torch.manual_seed(0)
        inputs, width = widths
        self.stem = ConvNorm(3, inputs, 3, stride=2)
        self.stage2 = nn.Sequential()
        self.stage2.add_module("block1", Bottleneck(inputs, width, 16, 1, squeeze=True, reduction=4))
        self.dense1000 = nn.Linear(16, 12)
        self.head = nn.Linear(12, len(LABELS))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        features = self.stage2(torch.relu(self.stem(image)))
        return self.head(torch.relu(self.dense1000(features.mean(dim=(2, 3), keepdim=True).flatten(1))))


def converted(net: Any) -> bytes:
    return convert(net.eval(), SIZE)


@dataclass(frozen=True)
class Made:
    float_model: bytes
    faces: np.ndarray
    extremes: Extremes
    int8_model: bytes


@pytest.fixture(scope="module")
def made() -> Made:
    float_model = converted(Tiny())
    faces = np.random.default_rng(0).integers(0, 256, (12, SIZE, SIZE), dtype=np.uint8)
    extremes = measure_extremes(float_model, faces, SPEC)
    return Made(float_model, faces, extremes, quantize_int8(float_model, extremes, SPEC, 99.0))


def test_extremes_are_those_of_the_network(made: Made) -> None:
    logits = classify(made.float_model, made.faces, SPEC)
    graph = Graph(made.float_model)
    column = made.extremes.names.index(graph.name(graph.outputs[0]))
    np.testing.assert_allclose(made.extremes.least[:, column], logits.min(axis=1), atol=1e-5)
    np.testing.assert_allclose(made.extremes.greatest[:, column], logits.max(axis=1), atol=1e-5)


def test_everything_is_int8_and_the_edge_tpu_could_take_it(made: Made) -> None:
    graph = check_int8(made.int8_model)
    assert [graph.type(tensor) for tensor in (*graph.inputs, *graph.outputs)] == ["INT8", "INT8"]


def reaches(content: bytes, extremes: Extremes) -> dict[str, float]:
    """How wide the range of each computed tensor is."""
    graph = Graph(content)
    wide = {}
    for tensor in range(len(graph.tensors)):
        if graph.name(tensor) in extremes.names and graph.scales(tensor) == 1:
            wide[graph.name(tensor)] = float(graph.tensors[tensor].quantization.scale[0]) * 255
    return wide


def test_a_percentile_narrows_ranges_but_for_input_and_output(made: Made) -> None:
    graph = Graph(made.float_model)
    (source,), (target,) = (map(graph.name, tensors) for tensors in (graph.inputs, graph.outputs))
    wide, narrow = (
        reaches(quantize_int8(made.float_model, made.extremes, SPEC, percentile), made.extremes)
        for percentile in (100.0, 60.0)
    )
    assert wide[source] == narrow[source] == pytest.approx(1 / 0.25, rel=0.01)
    assert wide[target] == narrow[target]
    column = made.extremes.names.index(target)
    assert (
        wide[target] >= np.ptp([made.extremes.least[:, column].min(), made.extremes.greatest[:, column].max()]) * 0.99
    )
    inner = set(wide) - {source, target}
    assert sum(narrow[name] < wide[name] for name in inner) > len(inner) / 2
    assert all(narrow[name] <= wide[name] * 1.001 for name in inner)


def test_a_layer_that_has_died_has_a_range_all_the_same(made: Made) -> None:
    zeros = np.zeros_like(made.extremes.least)
    content = quantize_int8(made.float_model, replace(made.extremes, least=zeros, greatest=zeros), SPEC, 100.0)
    assert {round(wide, 2) for wide in reaches(content, made.extremes).values()} == {1 / 0.25, 1.0}
    assert np.isfinite(classify(content, made.faces, SPEC)).all(), "the CPU runs it"


def test_one_odd_face_costs_all_others_under_min_max(made: Made) -> None:
    """Of the 12 calibration faces one needs ranges fifty times as wide; a percentile leaves it behind."""
    least, greatest = made.extremes.least.copy(), made.extremes.greatest.copy()
    graph = Graph(made.float_model)
    inner = [made.extremes.names.index(name) for name in made.extremes.names if name != graph.name(graph.outputs[0])]
    least[0, inner] *= 50
    greatest[0, inner] *= 50
    odd = replace(made.extremes, least=least, greatest=greatest)
    labels = classify(made.float_model, made.faces, SPEC).argmax(axis=1)
    told: list[tuple[int, int]] = []
    choice = choose_percentile(
        made.float_model, odd, SPEC, made.faces, labels, percentiles=(100.0, 90.0), progress=lambda *at: told.append(at)
    )
    minmax, narrow = choice.costs
    assert choice.chosen == narrow
    assert narrow.percentile == 90.0
    assert narrow.rmse < minmax.rmse / 2
    assert choice.float_accuracy == 1.0
    assert narrow.agreement == narrow.accuracy
    assert choice.faces == 12
    assert told == [(number, 36) for number in range(1, 37)]
    assert choice.model == quantize_int8(made.float_model, odd, SPEC, 90.0)
    difference = classify(choice.model, made.faces, SPEC) - classify(made.float_model, made.faces, SPEC)
    assert narrow.rmse == pytest.approx(math.sqrt((difference**2).mean()))


@pytest.mark.parametrize(
    ("first", "second", "chosen"),
    [
        ((1, 0.1), (0, 0.9), 99.0),  # more faces named alike, in spite of the greater error
        ((1, 0.2), (1, 0.1), 99.0),  # as many, and the smaller error
        ((1, 0.1), (1, 0.1), 100.0),  # no difference: the first
        ((0, 0.9), (1, 0.1), 100.0),
    ],
)
def test_agreement_decides_then_the_error_then_the_order(
    monkeypatch: pytest.MonkeyPatch, first: tuple[int, float], second: tuple[int, float], chosen: float
) -> None:
    expected = np.array([[1.0, 0, 0, 0, 0, 0, 0], [0, 1.0, 0, 0, 0, 0, 0]])

    def logits_of(wrong: int, error: float) -> np.ndarray:
        found = expected + error
        found[:wrong, 6] += 2
        return found

    answers = {b"float": expected, b"100.0": logits_of(*first), b"99.0": logits_of(*second)}
    monkeypatch.setattr(quantize, "quantize_int8", lambda *given: str(given[3]).encode())
    monkeypatch.setattr(quantize, "classify", lambda content, *_, **__: answers[content])
    nothing = Extremes((), np.empty((0, 0), np.float32), np.empty((0, 0), np.float32))
    choice = choose_percentile(
        b"float", nothing, SPEC, np.zeros((2, 1, 1), np.uint8), np.array([0, 1]), percentiles=(100.0, 99.0)
    )
    assert choice.chosen.percentile == chosen
    assert choice.model == str(chosen).encode()


def test_decibels() -> None:
    assert decibels(100.0, 1.0) == pytest.approx(20)
    assert decibels(1.0, 10.0) == pytest.approx(-10)
    assert decibels(1.0, 0.0) == math.inf
    assert decibels(0.0, 0.0) == math.inf
    assert decibels(0.0, 1.0) == -math.inf


@given(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6), st.floats(1e-3, 1e3))
def test_decibels_are_of_a_ratio(power: float, noise: float, factor: float) -> None:
    assert decibels(power * factor, noise * factor) == pytest.approx(decibels(power, noise), abs=1e-6)
    assert decibels(power, noise * 10) == pytest.approx(decibels(power, noise) - 10, abs=1e-6)


def test_a_network_beside_itself_loses_nothing(made: Made, tmp_path: Path) -> None:
    report = compare_layers(made.float_model, made.float_model, made.faces[:2], SPEC)
    assert {layer.snr_db for layer in report.layers} == {math.inf}
    assert {layer.drop_db for layer in report.layers} == {0.0}
    write_report(tmp_path, report)


def test_every_layer_has_its_ratio_and_its_name(made: Made) -> None:
    report = compare_layers(made.float_model, made.int8_model, made.faces, SPEC)
    logits, rounded = (classify(model, made.faces, SPEC) for model in (made.float_model, made.int8_model))
    expected = 10 * math.log10((logits**2).sum() / ((logits - rounded) ** 2).sum())
    first, last = report.layers[0], report.layers[-1]
    assert last.snr_db == pytest.approx(expected, abs=1e-3)
    assert (first.operator, first.name, first.drop_db) == (INPUT, "input", 0.0)
    assert 40 < first.snr_db < 60  # 8 bits
    assert [layer.number for layer in report.layers] == list(range(len(Graph(made.float_model).nodes) + 1))
    names = [layer.name for layer in report.layers if layer.operator in ("CONV_2D", "FULLY_CONNECTED")]
    block = ["shortcut", "reduce", "conv3x3", "expand", "se_down", "se_up"]
    assert sorted(names) == sorted(["stem", *(f"stage2.block1.{name}" for name in block), "dense1000", "output"])
    (added,) = [layer for layer in report.layers if layer.operator == "ADD"]
    assert (added.name, added.shape) == ("stage2.block1", (1, 16, 16, 16))
    drops = [layer.drop_db for layer in report.worst(4)]
    assert drops == sorted((layer.drop_db for layer in report.layers), reverse=True)[:4]


@pytest.mark.parametrize("name", ["stage2.block1.conv3x3", "stage2.block1.se_down", "dense1000"])
def test_the_layer_that_loses_most_is_the_one_that_was_spoilt(made: Made, name: str) -> None:
    whole = compare_layers(made.float_model, made.int8_model, made.faces[:4], SPEC)
    (number,) = [layer.number for layer in whole.layers if layer.name == name]
    graph = Graph(made.float_model)
    column = made.extremes.names.index(graph.name(graph.nodes[number - 1].outputs[0]))
    greatest = made.extremes.greatest.copy()
    greatest[:, column] *= 60
    spoilt = quantize_int8(made.float_model, replace(made.extremes, greatest=greatest), SPEC, 100.0)
    report = compare_layers(made.float_model, spoilt, made.faces[:4], SPEC)
    assert report.worst(1)[0].name == name


def test_another_network_is_refused(made: Made) -> None:
    wider = converted(Tiny((8, 5)))
    with pytest.raises(ModelError, match=r"operator 4 to be CONV_2D .* 5\]\] in the float file and CONV_2D .* 4\]\]"):
        compare_layers(wider, made.int8_model, made.faces, SPEC)
    shorter: Any = nn.Sequential(nn.Conv2d(3, 7, SIZE), nn.Flatten())
    with pytest.raises(ModelError, match=r"found \d operators in the float file and \d+ in the INT8 file"):
        compare_layers(converted(shorter), made.int8_model, made.faces, SPEC)


class Chain:
    """A graph in which every operator reads what the one before it computed."""

    def __init__(self, *operators: str) -> None:
        self.inputs = (0,)
        self.nodes = tuple(Node(name, 1, (place,), (place + 1,), None) for place, name in enumerate(operators))

    def shape(self, tensor: int) -> tuple[int, ...]:
        return (1, 4)


def test_operators_that_only_change_the_scale_are_passed_over() -> None:
    plain: Any = Chain("CONV_2D", "ADD")
    scaled: Any = Chain("QUANTIZE", "CONV_2D", "QUANTIZE", "ADD", "DEQUANTIZE")
    assert match_tensors(plain, scaled) == {0: 0, 1: 2, 2: 4}
    other: Any = Chain("CONV_2D", "MUL")
    with pytest.raises(ModelError, match=r"operator 2 to be ADD .* in the float file and MUL .* in the INT8 file"):
        match_tensors(plain, other)


def test_the_report_is_written_three_times(made: Made, tmp_path: Path) -> None:
    report = compare_layers(made.float_model, made.int8_model, made.faces[:2], SPEC)
    first, *others = report.layers
    endless = replace(report, layers=(replace(first, snr_db=math.inf), *others))
    write_report(tmp_path / "new", endless)
    record = json.loads((tmp_path / "new" / RECORD).read_text(), parse_constant=pytest.fail)
    assert record["faces"] == 2
    assert record["layers"][0]["snr_db"] is None
    assert record["layers"][1]["snr_db"] == others[0].snr_db
    assert record["worst"] == [layer.number for layer in report.worst()]
    with (tmp_path / "new" / TABLE).open() as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [layer.name for layer in report.layers]
    assert rows[2]["shape"] == "1x16x16x8"
    assert (tmp_path / "new" / PLOT).read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def models(made: Made, tmp_path: Path) -> Path:
    """A folder with the tiny classifier in its manifest, and faces to try it on."""
    spec = ClassifierSpec(
        task="classify", input=SPEC, quantization="int8", labels=LABELS, crop=CROP, source="here", licence="MIT",
        **write_artefact(tmp_path / "models", "tiny", made.int8_model),
    )  # fmt: skip
    update_manifest(tmp_path / "models", {"tiny": spec})
    (tmp_path / "float.tflite").write_bytes(made.float_model)
    for split in ("train", "valid"):
        for label in LABELS[:2]:
            picture(tmp_path / "faces" / split / label / "0.png", 100)
    return tmp_path


def invoke(*arguments: str | Path) -> Any:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, EdgeFerError):
        raise result.exception
    return result


def test_layers_from_the_command_line(models: Path) -> None:
    command = ("layers", "--data", models / "faces", "--models", models / "models", "--model", "tiny")
    result = invoke(*command, "--float", models / "float.tflite", "--out", models / "out")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert sum(line.endswith("*") for line in lines) == 10
    assert any(line.split()[1:3] == ["stage2.block1.reduce", "CONV_2D"] for line in lines)
    assert any(line.startswith("loses most: ") for line in lines)
    assert {path.name for path in (models / "out").iterdir()} == {RECORD, TABLE, PLOT}
    with pytest.raises(ConfigError, match=r"expected either --weights or --float"):
        invoke(*command)
    with pytest.raises(ModelError, match=r"expected a \.tflite file at .*none\.tflite, found: No such file"):
        invoke(*command, "--float", models / "none.tflite")


def test_a_map_that_is_zero_on_every_face_can_be_computed(made: Made) -> None:
    """Its range would be none, and its scale so small that the CPU's library refused the layer."""
    least, greatest = made.extremes.least.copy(), made.extremes.greatest.copy()
    graph = Graph(made.float_model)
    convolution = next(node for node in graph.nodes if node.name == "CONV_2D")
    column = made.extremes.names.index(graph.name(convolution.outputs[0]))
    least[:, column] = greatest[:, column] = 0
    content = quantize_int8(made.float_model, replace(made.extremes, least=least, greatest=greatest), SPEC, 100)
    assert np.isfinite(classify(content, made.faces, SPEC)).all()

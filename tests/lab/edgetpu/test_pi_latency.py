"""The predicted times on a Raspberry Pi: their arithmetic, and what the documentation says of them."""

from __future__ import annotations

import pytest

from edge_fer.lab.edgetpu.pi_latency import Benchmark, Span, facts, predict, table
from tests.support import ROOT

pytestmark = pytest.mark.lab


def test_two_threads_lie_between_one_and_four() -> None:
    perfect = Benchmark(name="all shared", gmacs=1.0, int8=(400.0, 100.0))
    assert perfect.rate == pytest.approx(1e9 / 200)
    assert Benchmark(name="none shared", gmacs=1.0, int8=(400.0, 400.0)).rate == pytest.approx(1e9 / 400)


def test_a_quicker_machine_has_the_wider_span() -> None:
    found = Span(60.0, 30.0, 90.0).faster(2.0, 3.0)
    assert (found.least, found.most) == (10.0, 45.0)
    assert found.least < found.likely < found.most
    assert str(found) == "24 (10-45)"
    assert found.rate == "41 (22-100)"


def test_every_stage_slows_down_as_the_classifier_does() -> None:
    pi4 = predict()[0]
    assert (pi4.board, pi4.classifier) == ("Pi 4", "se_resnet50")
    slower = pi4.label.likely / facts().here.labels["se_resnet50"]
    assert 2 < slower < 10
    assert pi4.search.likely == pytest.approx(facts().here.search * slower)
    assert pi4.all_read.likely == pytest.approx(pi4.label.likely + pi4.frame.likely)


def test_the_documentation_has_these_figures_and_calls_them_predictions() -> None:
    text = (ROOT / "docs/boards.md").read_text()
    assert table() in text
    assert "prediction" in text[: text.index(table())].lower()

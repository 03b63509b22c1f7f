"""The dashboard and the alerting rules ask for what `/metrics` really serves."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from edge_fer.schema import SinkStatus, StageTime
from edge_fer.settings import load_settings
from tests.support import ROOT
from tests.support.http_site import ask, serving
from tests.support.records import make_face_reading, make_reading, make_status, make_track

GRAFANA = ROOT / "deploy/grafana"
DASHBOARD = json.loads((GRAFANA / "dashboard.json").read_text())
RULES = [rule for group in yaml.safe_load((GRAFANA / "alerts.yaml").read_text())["groups"] for rule in group["rules"]]
README = (GRAFANA / "README.md").read_text()

Served = dict[str, dict[str, set[str]]]
"""Values by label by metric."""


@pytest.fixture(scope="module")
def served() -> Served:
    """What a box with everything that a status can tell serves, and what Prometheus adds."""
    status = replace(
        make_status(),
        stages={"detect": StageTime(150, 27.1, 31.9, 40.0)},
        temperatures={"0:cpu-thermal": 61.5},
        throttled=("capped",),
        recovery={"usb_reset": 2},
        sinks={"mqtt": SinkStatus("waiting", 7, 3, 5, "no broker")},
    )
    with serving() as sink:
        sink.publish(status, None)
        sink.publish(make_track(), None)
        sink.publish(make_reading(faces=(make_face_reading(), make_face_reading(None, "unsure"))), None)
        text = ask(sink, "/metrics").body.decode()
    found: Served = defaultdict(lambda: defaultdict(set))
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            for label, value in {**sample.labels, "job": "edge-fer", "instance": "drone-7"}.items():
                found[sample.name][label].add(value)
    found["up"] = found["edge_fer_healthy"]
    return dict(found)


def panels() -> list[dict[str, Any]]:
    """All of them, those of rows that are folded up, too."""
    return [each for panel in DASHBOARD["panels"] for each in (panel, *panel.get("panels", ()))]


def expressions() -> Iterator[tuple[str, str]]:
    """Each with the texts in which its labels may be named."""
    for panel in panels():
        for target in panel.get("targets", ()):
            yield target["expr"], target.get("legendFormat", "")
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield re.sub(r"label_values\((.*), (\w+)\)", r"max by (\2) (\1)", variable["query"]["query"]), ""
    for rule in RULES:
        yield rule["expr"], " ".join(rule["annotations"].values())


@pytest.mark.parametrize(("expression", "texts"), list(expressions()))
def test_what_is_asked_for_is_served(expression: str, texts: str, served: Served) -> None:
    selectors = re.findall(r"\b(up|edge_fer_\w+|process_\w+)\b(?:\{([^}]*)\})?", expression)
    assert selectors
    labels: set[str] = set()
    for metric, matchers in selectors:
        assert metric in served
        labels |= served[metric].keys()
        for label, operator, value in re.findall(r'(\w+)(=~|!~|!=|=)"([^"]*)"', matchers):
            assert label in served[metric], f"{metric} has no {label}"
            if operator == "=":
                assert value in served[metric][label], f"{metric} has no {label} {value}"
    named = {name.strip() for group in re.findall(r"(?:by|on) \(([^)]*)\)", expression) for name in group.split(",")}
    named |= set(re.findall(r"\{\{ ?(?:\$labels\.)?(\w+) ?\}\}", texts))
    assert named <= labels


def test_panels_have_numbers_and_places_of_their_own() -> None:
    numbers = [panel["id"] for panel in panels()]
    assert len(set(numbers)) == len(numbers)
    cells = [
        (x, y)
        for panel in panels()
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
    rows = [panel["title"] for panel in panels() if panel["type"] == "row"]
    assert len(rows) == len(set(rows)) >= 9
    assert all(title.endswith("?") for title in rows)


def test_the_source_of_data_is_whoever_imports_its_choice() -> None:
    names = {variable["name"]: variable["type"] for variable in DASHBOARD["templating"]["list"]}
    assert names == {"datasource": "datasource", "instance": "query"}
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    for panel in panels():
        if panel["type"] != "row":
            assert panel["datasource"] == chosen
            assert all(target["datasource"] == chosen for target in panel["targets"])


def test_each_alarm_says_what_is_wrong_and_what_to_do() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names)
    for rule in RULES:
        assert rule["annotations"].keys() == {"summary", "description"}
        assert "{{ $labels.instance }}" in rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in ("page", "ticket")


def test_what_the_readme_tells_to_write_is_valid(tmp_path: Path) -> None:
    box, prometheus = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL))
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(box))
    assert load_settings(path, environment={}).publish.http.token_file == Path("/etc/edge-fer/token")
    (scrape,) = prometheus["scrape_configs"]
    assert scrape["job_name"] == "edge-fer"
    (targets,) = scrape["static_configs"]
    assert len(targets["targets"]) == 20
    (rename,) = scrape["relabel_configs"]
    assert re.fullmatch(rename["regex"], "drone-7:8080")[1] == "drone-7"  # type: ignore[index]  # it matches
    assert re.fullmatch(rename["regex"], "192.0.2.7:8080") is None

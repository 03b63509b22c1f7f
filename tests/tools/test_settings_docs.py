"""The page of all settings is the one that is made from them."""

from __future__ import annotations

import re

import pytest

from edge_fer.settings import Settings, dump_settings, load_settings
from tools.settings_docs import PAGE, settings_page, values


def test_the_page_is_that_of_the_settings() -> None:
    assert PAGE.read_text(encoding="utf-8") == settings_page(), "make settings-docs writes it anew"


def test_every_setting_has_a_row() -> None:
    shown = [line for line in dump_settings(Settings()).splitlines() if re.match(r" *\w+: [^ ]", line)]
    assert len(re.findall(r"<br>`EDGE_FER_\w+` \|", settings_page())) == len(shown) > 100


def test_the_variable_of_a_row_sets_that_setting() -> None:
    row = next(line for line in settings_page().splitlines() if "MIN_EYE_DISTANCE_PX" in line)
    variable = re.findall(r"`(EDGE_FER_\w+)`", row)[0]
    assert load_settings(environment={variable: "9"}).smooth.min_eye_distance_px == 9


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 65535}, "integer, at least 1, at most 65,535"),
        ({"type": "number", "exclusiveMinimum": 0.3, "exclusiveMaximum": 0.95}, "number, above 0.3, below 0.95"),
        ({"anyOf": [{"type": "string", "format": "path"}, {"type": "null"}]}, "path, or null"),
        ({"type": "string", "enum": ["on", "off"]}, "`on`, `off`"),
        ({"type": "array", "items": {"type": "string"}}, "list of text"),
        ({"type": "boolean"}, "`true` or `false`"),
    ],
)
def test_what_a_setting_may_be_stands_in_words(field: dict[str, object], words: str) -> None:
    assert values(field) == words

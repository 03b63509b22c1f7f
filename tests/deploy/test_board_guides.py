"""The guides to boards: what they show and promise is what the program says and does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from edge_fer.settings import load_settings
from tools.board_guides import BLOCK, GUIDES, SCENES, fill

PAGES = sorted(GUIDES.glob("*.md"))


def test_there_is_one_for_every_board() -> None:
    assert [path.stem for path in PAGES] == [
        "coral-dev-board", "raspberry-pi-camera-module", "raspberry-pi-coral-usb", "raspberry-pi-usb-camera",
        "two-boards",
    ]  # fmt: skip


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_what_the_doctor_says_is_what_he_says(path: Path) -> None:
    text = path.read_text()
    assert fill(text) == text, "python -m tools.board_guides writes it anew"


def test_every_scene_is_shown_somewhere() -> None:
    text = "".join(path.read_text() for path in PAGES)
    assert {scene for _, scene in BLOCK.findall(text)} == set(SCENES)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_settings_that_are_shown_are_valid(path: Path, tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", path.read_text(), re.DOTALL)
    assert blocks
    for number, block in enumerate(blocks):
        assert isinstance(yaml.safe_load(block), dict)
        file = tmp_path / f"{number}.yaml"
        file.write_text(block)
        load_settings(file, environment={})


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_nobody_is_told_that_it_ran_on_hardware_when_it_did_not(path: Path) -> None:
    assert "not yet run on this hardware" in path.read_text()

"""The measurements of following: perfect, lost, false and swapped tracks are told apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from edge_fer.errors import ConfigError
from edge_fer.lab.cli.app import app
from edge_fer.lab.realtime import tracking
from edge_fer.settings import Settings, load_settings
from edge_fer.synthetic.portraits import Scene
from edge_fer.synthetic.scenes import crowd_scene
from edge_fer.types import Box, Face, Landmarks, Point, Track

SETTINGS = load_settings(environment={})
FAR = Box(5000, 5000, 40, 40)


def track(key: int, box: Box) -> Track:
    return Track(key, Face(box, 0.99, Landmarks(*[Point(box.x, box.y)] * 5)))


def shown_as(monkeypatch: pytest.MonkeyPatch, frames: Sequence[Sequence[Track]]) -> None:
    monkeypatch.setattr(tracking, "_tracks", lambda *_: [tuple(tracks) for tracks in frames])


@pytest.fixture
def scene() -> Scene:
    return crowd_scene(3, faces=2, frames=6)


def true_tracks(scene: Scene) -> list[list[Track]]:
    return [[track(face.entry + 1, face.box) for face in scene.truth(index)] for index in range(scene.frames)]


def test_the_truth_itself_is_without_fault(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    shown_as(monkeypatch, true_tracks(scene))
    assert tracking.identify(SETTINGS, scene) == tracking.Identities(2, 12, 12, 0, 0, 12)


def test_swapped_ids_count_once_a_face(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = true_tracks(scene)
    for tracks in frames[3:]:
        tracks[:] = [track(3 - one.id, one.face.box) for one in tracks]
    shown_as(monkeypatch, frames)
    assert tracking.identify(SETTINGS, scene).switches == 2


def test_lost_and_invented_faces_are_counted(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = true_tracks(scene)
    del frames[0][1]
    frames[1].append(track(9, FAR))
    shown_as(monkeypatch, frames)
    found = tracking.identify(SETTINGS, scene)
    assert (found.found, found.false, found.shown, found.switches) == (11, 1, 12, 0)


def test_a_crowd_is_followed_as_the_detector_finds_it(scene: Scene) -> None:
    found = tracking.follow(SETTINGS, [scene.render(index) for index in range(scene.frames)], 30)
    assert (found.frames, found.expected, found.recall, found.false_tracks) == (6, 12, 1.0, 0)
    assert found.tracks == 2
    assert 1 <= found.searched < 6


def test_a_track_on_nothing_is_a_false_one(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [scene.render(index) for index in range(2)]
    shown_as(monkeypatch, [[track(1, FAR)], [track(1, FAR), track(2, scene.truth(1)[0].box)]])
    found = tracking.follow(SETTINGS, images, 30)
    assert (found.tracks, found.false_tracks, found.unfounded, found.shown) == (2, 1, 2, 3)
    assert found.recall == pytest.approx(1 / 4)


def test_no_faces_are_all_found(monkeypatch: pytest.MonkeyPatch) -> None:
    found = tracking.follow(SETTINGS, [np.zeros((90, 160, 3), np.uint8)] * 2, 30)
    assert (found.expected, found.recall, found.tracks) == (0, 1.0, 0)


def test_the_command_says_it_and_refuses_letters() -> None:
    result = CliRunner().invoke(app, ["tracking", "sample", "--scenes", "one"])
    assert isinstance(result.exception, ConfigError)
    assert "expected --scenes such as 101,102, found `one`" in str(result.exception)


def test_the_command_prints_json(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tracking, "follow", lambda *_: tracking.Followed(2, 4, 3, 3, 0, 1, 0, 1, 0.2, 0.1))
    monkeypatch.setattr(tracking, "identify", lambda *_: tracking.Identities(2, 12, 12, 0, 0, 12))
    lines = CliRunner().invoke(app, ["tracking", "--scenes", "5"]).stdout
    assert "75.00% of the 4 faces in 2 frames shown" in lines
    assert "scene 5: 2 faces come in; 0 changes of id" in lines
    assert '"recall": 0.75' in CliRunner().invoke(app, ["tracking", "--scenes", "5", "--json"]).stdout


def test_settings_reach_the_finder(scene: Scene) -> None:
    images = [scene.render(index) for index in range(4)]
    every: Settings = load_settings(environment={}, flags={"keyframe.enabled": False})
    assert tracking.follow(every, images, 30).searched == 4

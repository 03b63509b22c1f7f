from __future__ import annotations

import os
from pathlib import Path

from edge_fer.settings import Settings, load_settings
from edge_fer.settings.fingerprint import fingerprint


def settings(**flags: object) -> Settings:
    return load_settings(environment={}, flags={name.replace("__", "."): value for name, value in flags.items()})


def test_equal_settings_make_the_same_run() -> None:
    assert fingerprint(settings()) == fingerprint(settings())
    assert fingerprint(settings(device="a")) != fingerprint(settings(device="b"))


def test_a_file_with_other_content_makes_another_run_and_a_file_that_was_only_written_again_does_not(
    tmp_path: Path,
) -> None:
    secret, models = tmp_path / "secret", tmp_path / "models"
    models.mkdir()
    named = settings(publish__mqtt__host="a", publish__mqtt__credentials_file=str(secret), models=str(models))
    seen = [fingerprint(named)]
    for path, content in ((secret, "one"), (secret, "two"), (models / "manifest.yaml", "a: 1")):
        path.write_text(content)
        seen.append(fingerprint(named))
        path.write_text(content)
        assert fingerprint(named) == seen[-1]
    assert all(one != other for number, one in enumerate(seen) for other in seen[:number])


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    named = settings(publish__mqtt__host="a", publish__mqtt__credentials_file=str(tmp_path / "pipe"))
    assert fingerprint(named) == fingerprint(named)

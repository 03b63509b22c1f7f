"""Files with secrets: who may read and change them, and what may stand in them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_fer.common import secret_file as module
from edge_fer.common.secret_file import open_secret, read_secret
from edge_fer.errors import ConfigError
from edge_fer.publish.http.security import read_token
from edge_fer.publish.mqtt.identity import read_credentials

NOBODY = 65_534


def secret_file(folder: Path, content: bytes, mode: int = 0o600) -> Path:
    path = folder / "secret"
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("mode", "found"),
    [
        (0o644, "readable by everybody; chmod o-rwx"),
        (0o660, "writable by others than its owner; chmod go-w"),
        (0o602, "writable by others than its owner; chmod go-w"),
    ],
)
def test_who_else_may_read_or_change_it_is_told_with_what_to_type(tmp_path: Path, mode: int, found: str) -> None:
    path = secret_file(tmp_path, b"x", mode)
    with pytest.raises(ConfigError, match=f"^expected a token that is secret, found {path} {found} {path}$"):
        open_secret(path, "a token")


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o640, 0o440])
def test_what_the_owner_and_the_group_may_read_is_accepted(tmp_path: Path, mode: int) -> None:
    if os.geteuid() != 0:
        mode |= 0o400
    assert read_secret(secret_file(tmp_path, b"x", mode), "a token") == "x"


def test_a_file_of_another_user_is_refused_and_told_to_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = secret_file(tmp_path, b"x")
    monkeypatch.setattr(module.os, "geteuid", lambda: NOBODY)
    owner = path.stat().st_uid
    if owner != 0:
        with pytest.raises(ConfigError, match=f"who can change it; chown root {path}"):
            open_secret(path, "a token")
    monkeypatch.setattr(module, "_ROOT", NOBODY)  # as if the user were root, and the file not root's
    open_secret(path, "a token").close()
    assert f"{path} belongs to" in caplog.text


def test_a_file_of_a_third_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = secret_file(tmp_path, b"x")
    monkeypatch.setattr(module.os, "geteuid", lambda: NOBODY)
    monkeypatch.setattr(module, "_ROOT", 1)
    with pytest.raises(ConfigError, match=f"found {path} owned by .*, who can change it; chown root {path}"):
        open_secret(path, "a token")


def test_a_file_that_this_user_may_not_read_is_told_with_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = secret_file(tmp_path, b"x")

    def refuse(*_: object) -> int:
        raise PermissionError

    monkeypatch.setattr(module.os, "open", refuse)
    with pytest.raises(ConfigError, match=rf"may read, found no permission; chown root:\w+ {path}, chmod 640 {path}$"):
        open_secret(path, "a token")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path, 0o600)
    with pytest.raises(ConfigError, match="that is no regular file"):
        open_secret(path, "a token")


def test_a_file_that_is_far_too_long_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="found more than 65536 bytes; is it another file"):
        read_secret(secret_file(tmp_path, bytes(70_000)), "a token")


@pytest.mark.parametrize(
    ("content", "user", "password"),
    [
        (b"\xef\xbb\xbfdrone\r\ngeheim\r\n", "drone", "geheim"),
        (b"drone\ngeheim", "drone", "geheim"),
        (b"drone\n", "drone", None),
        ("drone\nge\u2028h\x0ceim\u0085 \n".encode(), "drone", "ge\u2028h\x0ceim\u0085 "),
    ],
)
def test_credentials_are_read_as_editors_write_them(
    tmp_path: Path, content: bytes, user: str, password: str | None
) -> None:
    assert read_credentials(secret_file(tmp_path, content)) == (user, password)


def test_a_token_may_have_a_mark_at_its_beginning(tmp_path: Path) -> None:
    token = read_token(secret_file(tmp_path, b"\xef\xbb\xbf" + b"t" * 32 + b"\r\n"))
    assert token is not None
    assert token.verify("t" * 32, "::1") == "right"


def test_utf_16_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="found no text in UTF-8; save it as UTF-8"):
        read_credentials(secret_file(tmp_path, "drone\ngeheim\n".encode("utf-16")))

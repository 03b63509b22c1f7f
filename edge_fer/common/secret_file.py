"""Files with secrets in them, which not every user of the machine may read or change."""

from __future__ import annotations

import grp
import logging
import os
import pwd
import stat
from pathlib import Path
from typing import BinaryIO

from edge_fer.common.secrets import keep_secret
from edge_fer.errors import ConfigError

SHORTEST_TOKEN = 16
"""Characters of the shortest token that is safe."""

_LONGEST_TOKEN = 4096
_MAX_BYTES = 65_536
_ROOT = 0

_log = logging.getLogger(__name__)


def open_secret(path: Path, what: str) -> BinaryIO:
    """Open a file that only its owner and group may read, and only its owner, who is this user or root, may change.

    Args:
        path: the file.
        what: what is in it, for the message: `a token`.

    Raises:
        ConfigError: when it is no file, this user may not read it, everybody may, or others may change it.
        OSError: when it cannot be opened.
    """
    try:
        # A pipe would be waited for, for good.
        file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))  # noqa: SIM115
    except PermissionError as error:
        raise ConfigError(
            f"expected {what} in {path} that {_name(os.geteuid())} may read, found no permission; "
            f"chown root:{_group()} {path}, chmod 640 {path}"
        ) from error
    found = _wrong(os.fstat(file.fileno()), path)
    if found is not None:
        file.close()
        raise ConfigError(f"expected {what} that is secret, found {path} {found}")
    return file


def read_secret(path: Path, what: str) -> str:
    """Read a file that `open_secret` accepts, as text.

    Args:
        path: a file in UTF-8; the mark at its beginning that some editors write (BOM) is left out.
        what: what is in it, for the message: `a token`.

    Raises:
        ConfigError: as `open_secret`, and when it is no text in UTF-8, or far too long.
        OSError: when it cannot be read.
    """
    with open_secret(path, what) as file:
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise ConfigError(f"expected {what} in {path}, found more than {_MAX_BYTES} bytes; is it another file?")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"expected {what} in {path}, found no text in UTF-8; save it as UTF-8") from error


def read_token(path: Path, setting: str) -> str:
    """Read a token, and hide it from the log from now on.

    Args:
        path: the file.
        setting: the setting that names it, for the message: `publish.http.token_file`.

    Raises:
        ConfigError: when it cannot be read, others may read it, or it is too short to be safe.
    """
    try:
        token = read_secret(path, "a token").strip()
    except OSError as error:
        raise ConfigError(
            f"expected a token in {path} ({setting}), found: {error.strerror}; "
            f"make one: (umask 077; openssl rand -hex 32 > {path})"
        ) from error
    if not SHORTEST_TOKEN <= len(token) <= _LONGEST_TOKEN:
        raise ConfigError(
            f"expected a token of {SHORTEST_TOKEN} to {_LONGEST_TOKEN} characters in {path}, found {len(token)}; "
            f"make one: openssl rand -hex 32 > {path}"
        )
    keep_secret(token)
    return token


def _wrong(status: os.stat_result, path: Path) -> str | None:
    """What is wrong with a secret's file, and what to do; None: nothing."""
    if not stat.S_ISREG(status.st_mode):
        return "that is no regular file; name one"
    if status.st_mode & stat.S_IROTH:
        return f"readable by everybody; chmod o-rwx {path}"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"writable by others than its owner; chmod go-w {path}"
    owner, user = status.st_uid, os.geteuid()
    if owner in (user, _ROOT):
        return None
    if user == _ROOT:  # as `sudo edge-fer config check` reads what belongs to the service's user
        _log.warning("%s belongs to %s, who can change it", path, _name(owner))
        return None
    return f"owned by {_name(owner)}, who can change it; chown root {path}"


def _group() -> str:
    try:
        return grp.getgrgid(os.getegid()).gr_name
    except KeyError:
        return str(os.getegid())


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"

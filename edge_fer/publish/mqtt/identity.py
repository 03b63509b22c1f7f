"""This box's identity at a broker: its client id, its user and password, its certificate."""

from __future__ import annotations

import hashlib
import re
import ssl
import uuid
from pathlib import Path

from edge_fer.common.secret_file import read_secret
from edge_fer.common.secrets import keep_secret
from edge_fer.common.tls import client_context
from edge_fer.errors import ConfigError
from edge_fer.settings import MqttSettings

_MACHINE_ID = Path("/etc/machine-id")


def default_client_id(device: str, machine_id: Path = _MACHINE_ID) -> str:
    """A client id that is the same at every start and differs between boxes, even where two have the same name.

    Args:
        device: the box's name.
        machine_id: the file with the system's id, of which only a hash is used; where there is none, the hardware
            address of a network card is used.
    """
    try:
        machine = machine_id.read_text().strip()
    except OSError:
        machine = f"{uuid.getnode():x}"
    return f"edge-fer-{device}-{_hash(f'edge-fer {machine}')}"


def fitting(name: str, unfit: str) -> str:
    """A name with `_` for each forbidden character, and then a hash, so that different names stay different.

    Args:
        name: the name; without a forbidden character it stays as it is.
        unfit: regular expression of a forbidden character.
    """
    fit = re.sub(unfit, "_", name)
    return name if fit == name else f"{fit}_{_hash(name)}"


def read_credentials(path: Path) -> tuple[str, str | None]:
    """Read the user and the password; without a second line there is no password.

    Args:
        path: a file with the user in its first line and the password in its second.

    Raises:
        ConfigError: when there is no such file, others may read or change it, or its first line is empty.
    """
    try:
        text = read_secret(path, "a password")
    except OSError as error:
        raise ConfigError(
            f"expected a user and a password in {path} (publish.mqtt.credentials_file), found: {error.strerror}"
        ) from error
    # Not `splitlines`: a password may have characters that it takes for line ends.
    user, *rest = text.replace("\r\n", "\n").split("\n")
    if not user:
        raise ConfigError(
            f"expected a user in the first line of {path} (publish.mqtt.credentials_file), found an empty one"
        )
    password = rest[0] if rest and rest[0] else None
    if password is not None:
        keep_secret(password)
    return user, password


def tls_context(settings: MqttSettings) -> ssl.SSLContext:
    """The authorities that the broker's certificate is checked against, and this box's own certificate.

    Args:
        settings: the files' names.

    Raises:
        ConfigError: when a file cannot be used, or every user may read the key.
    """
    context = client_context(settings.ca_file, settings.cert_file, settings.key_file)
    context.sslsocket_class = _Socket
    return context


class _Socket(ssl.SSLSocket):
    """A socket that is closed when the handshake fails: paho does not close it."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]

"""Who this box is to a broker: its name, its user and password, its certificate."""

from __future__ import annotations

import hashlib
import ssl
import uuid
from pathlib import Path

from edge_fer.errors import ConfigError
from edge_fer.settings import MqttSettings

_MACHINE_ID = Path("/etc/machine-id")


def default_client_id(device: str, machine_id: Path = _MACHINE_ID) -> str:
    """The same at every start, and another one on every box, even where two bear the same name.

    Args:
        device: name of the box.
        machine_id: the file with the system's own id, which is not told as it is; where there is none, the hardware
            address of a network card stands in.
    """
    try:
        machine = machine_id.read_text().strip()
    except OSError:
        machine = f"{uuid.getnode():x}"
    return f"edge-fer-{device}-{hashlib.sha256(f'edge-fer {machine}'.encode()).hexdigest()[:8]}"


def read_credentials(path: Path) -> tuple[str, str | None]:
    """The user and the password; without a second line there is no password.

    Raises:
        ConfigError: when there is no such file, or no user in it.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"expected a user and a password in {path} (publish.mqtt.credentials_file), found: {error}"
        ) from error
    if not lines or not lines[0]:
        raise ConfigError(
            f"expected a user in the first line of {path} (publish.mqtt.credentials_file), found an empty one"
        )
    return lines[0], lines[1] if len(lines) > 1 else None


def tls_context(settings: MqttSettings) -> ssl.SSLContext:
    """What the broker's certificate is checked against, and our own certificate.

    Raises:
        ConfigError: when a file cannot be used.
    """
    name: Path | None = settings.ca_file
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        context.sslsocket_class = _Socket
        if settings.cert_file is not None:
            name = settings.cert_file
            context.load_cert_chain(settings.cert_file, settings.key_file, _no_passphrase)
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        raise ConfigError(f"expected certificates and keys in PEM, found in {name}: {error}") from error
    return context


class _Socket(ssl.SSLSocket):
    """Closes itself when the handshake fails, which paho does not."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def _no_passphrase() -> str:
    """OpenSSL would ask for it on the terminal, and wait."""
    raise ValueError("a key with a passphrase; use one without, readable by this user alone")

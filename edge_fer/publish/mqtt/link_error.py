"""Why there is no link to the broker, in words for the person who can repair it."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from edge_fer.errors import OutputError
from edge_fer.publish.mqtt.identity import plain

if TYPE_CHECKING:
    from paho.mqtt.reasoncodes import ReasonCode

SILENT = 0x8D
"""The reason code of a keep-alive time-out."""

CLOSED = "connection closed"

_BUSY = {0x88, 0x89, 0x97, 0x9F}  # unavailable, busy, over its quota or its rate: that passes by itself
_CREDENTIALS = {0x86, 0x87, 0x8C}  # bad user or password, not authorised, bad authentication method
_LEAVING = {0x00, 0x8B, SILENT, 0x98}  # DISCONNECT: normal, shutting down, keep-alive time-out, by its administrator


class LinkError(OutputError):
    """There is no link to the broker.

    Args:
        message: what was expected, what was found, what to do.
        lasting: see below.

    Attributes:
        lasting: whether a person must change something; else the link may come back by itself.
    """

    def __init__(self, message: str, *, lasting: bool) -> None:
        super().__init__(message)
        self.lasting = lasting


def no_broker(place: str, found: str) -> LinkError:
    """Nothing has answered yet: it may be no broker, or one with TLS where this side has none, or the reverse.

    Args:
        place: host and port.
        found: what was found instead.
    """
    return LinkError(
        f"expected a broker at {place}, found: {found}; start it, or mend publish.mqtt.host, .port or .tls",
        lasting=False,
    )


def link_broke(place: str, found: str) -> LinkError:
    """A link that worked has ended.

    Args:
        place: host and port.
        found: what was found.
    """
    return LinkError(f"expected the link to the broker at {place} to hold, found: {found}", lasting=False)


def session_remembered(place: str) -> LinkError:
    """The broker kept a session that it was told to forget, since the new connection was faster.

    Args:
        place: host and port.
    """
    return LinkError(f"expected the broker at {place} to forget the last session, found it remembered", lasting=False)


def qos_refused(place: str, wanted: int, best: int) -> LinkError:
    """The broker does not offer the QoS of the settings.

    Args:
        place: host and port.
        wanted: the settings' QoS.
        best: the highest QoS that the broker offers.
    """
    return LinkError(
        f"expected the broker at {place} to take QoS {wanted}, found {best} at most; set publish.mqtt.qos",
        lasting=True,
    )


def certificate_refused(place: str, found: str) -> LinkError:
    """The broker does not accept this box's certificate.

    Args:
        place: host and port.
        found: OpenSSL's reason, in words.
    """
    return LinkError(
        f"expected the broker at {place} to accept our certificate, found: {found}; mend publish.mqtt.cert_file",
        lasting=True,
    )


def connecting_failed(place: str, error: OSError | UnicodeError, silence: str) -> LinkError:
    """The TCP connection or the TLS handshake has failed.

    Args:
        place: host and port.
        error: what was raised; a UnicodeError for a host that cannot be a name.
        silence: what to say where it took too long.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return LinkError(
            f"expected a certificate of the broker at {place} that can be trusted, "
            f"found: {error.verify_message}; mend it, or set publish.mqtt.ca_file",
            lasting=True,
        )
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return no_broker(place, CLOSED)
    if isinstance(error, ssl.SSLError):
        found = plain(error.reason or str(error))
        return LinkError(
            f"expected to agree on TLS with the broker at {place}, found: {found}; "
            "mend its certificate, or publish.mqtt.port, .tls or .cert_file",
            lasting=True,
        )
    if isinstance(error, TimeoutError):
        return no_broker(place, silence)
    return no_broker(place, str(getattr(error, "strerror", None) or error).lower())


def refused(place: str, code: ReasonCode) -> LinkError:
    """The broker's CONNACK is a refusal.

    Args:
        place: host and port.
        code: its reason.
    """
    what = "credentials_file" if code.value in _CREDENTIALS else "client_id, or the broker (MQTT 5 is needed)"
    advice = "it is tried again" if code.value in _BUSY else f"mend publish.mqtt.{what}"
    return LinkError(
        f"expected the broker at {place} to let this client in, found: {str(code).lower()}; {advice}",
        lasting=code.value not in _BUSY,
    )


def disconnected(place: str, code: ReasonCode) -> LinkError:
    """The broker has sent a DISCONNECT.

    Args:
        place: host and port.
        code: its reason.
    """
    why = str(code).lower()
    if code.value in _LEAVING:
        return LinkError(f"expected the broker at {place} to stay, found that it takes leave: {why}", lasting=False)
    return LinkError(
        f"expected the broker at {place} to keep this client, found that it was sent away: {why}; "
        "is there another with the same publish.mqtt.client_id?",
        lasting=code.value not in _BUSY,
    )

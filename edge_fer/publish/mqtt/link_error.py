"""Why there is no link to the broker, in words for the person who can repair it."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from edge_fer.common.tls import plain
from edge_fer.errors import OutputError

if TYPE_CHECKING:
    from paho.mqtt.reasoncodes import ReasonCode

SILENT = 0x8D
"""The reason code of a keep-alive time-out."""

MALFORMED = 0x82
"""The reason code of a protocol error; paho also gives it for packets that it cannot read."""

CLOSED = "connection closed"

TAKEN_OVER = 0x8E
"""The reason code of a session that another client has taken over."""

_BUSY = {0x88, 0x89, 0x97, 0x9F}  # unavailable, busy, over its quota or its rate: that passes by itself
_LEAVING = {0x00, 0x8B, SILENT, 0x98}  # DISCONNECT: normal, shutting down, keep-alive time-out, by its administrator
_NO_RETAIN, _NO_QOS = 0x9A, 0x9B

_WHAT_HELPS = {  # by the reason code of a refusal
    0x84: "MQTT 5 is needed: use another broker, or a newer version",
    0x85: "mend publish.mqtt.client_id",
    0x86: "mend publish.mqtt.credentials_file",
    0x87: "mend publish.mqtt.credentials_file",
    0x8C: "mend publish.mqtt.credentials_file",
    0x90: "mend publish.mqtt.prefix",
    0x95: "raise the broker's limit for packets",
    _NO_QOS: "set publish.mqtt.qos: 0 and publish.mqtt.retain: false, or allow QoS 1 at the broker",
    0x9C: "mend publish.mqtt.host",
    0x9D: "mend publish.mqtt.host",
}


class LinkError(OutputError):
    """There is no link to the broker.

    Args:
        message: what was expected, what was found, what to do.
        lasting: see below.
        is_closed: see below.
        is_taken_over: see below.

    Attributes:
        lasting: whether a person must change something; else the link may come back by itself.
        is_closed: whether a link that worked was closed without a word.
        is_taken_over: whether another client has connected with the same client id.
    """

    def __init__(self, message: str, *, lasting: bool, is_closed: bool = False, is_taken_over: bool = False) -> None:
        super().__init__(message)
        self.lasting, self.is_closed, self.is_taken_over = lasting, is_closed, is_taken_over


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
    return LinkError(
        f"expected the link to the broker at {place} to hold, found: {found}", lasting=False, is_closed=found == CLOSED
    )


def not_mqtt(place: str, found: str) -> LinkError:
    """What is there breaks the rules of MQTT 5.

    Args:
        place: host and port.
        found: what it has sent.
    """
    return LinkError(
        f"expected MQTT 5 from the broker at {place}, found {found}; is it a broker? see publish.mqtt.host and .port",
        lasting=True,
    )


def unacknowledged(place: str, silent_s: float) -> LinkError:
    """The broker takes messages, and does not say that it has them.

    Args:
        place: host and port.
        silent_s: for how long, seconds.
    """
    return LinkError(
        f"expected the broker at {place} to acknowledge messages, found none acknowledged for {silent_s:.0f} s; "
        "is it overloaded, or its disk full?",
        lasting=False,
    )


def contested(place: str, client_id: str, *, found: str) -> LinkError:
    """Another client has the same client id: each connection of one ends that of the other.

    Args:
        place: host and port.
        client_id: the client id.
        found: how that shows.
    """
    return LinkError(
        f"expected to be the only client {client_id} of the broker at {place}, found {found}; "
        "end the other, or give each a publish.mqtt.client_id (see the broker's log)",
        lasting=True,
    )


def retain_refused(place: str) -> LinkError:
    """The broker keeps no messages for those who come later.

    Args:
        place: host and port.
    """
    return LinkError(
        f"expected the broker at {place} to keep retained messages, found: retain not available; "
        "allow it at the broker, or set publish.mqtt.retain: false",
        lasting=True,
    )


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
    if code.value == _NO_RETAIN:
        return retain_refused(place)
    is_busy = code.value in _BUSY
    advice = "it is tried again" if is_busy else _WHAT_HELPS.get(code.value, "see the broker's log")
    return LinkError(
        f"expected the broker at {place} to let this client in, found: {str(code).lower()}; {advice}",
        lasting=not is_busy,
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
        f"expected the broker at {place} to keep this client, found that it was sent away: {why}",
        lasting=code.value not in _BUSY,
        is_taken_over=code.value == TAKEN_OVER,
    )

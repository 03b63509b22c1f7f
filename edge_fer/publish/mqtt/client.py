"""One connection to an MQTT broker: how it is dialled, and why it ended, in words for whoever has to mend it."""

from __future__ import annotations

import select
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any

from edge_fer.errors import ConfigError, OutputError
from edge_fer.publish.mqtt.buffer import Message
from edge_fer.publish.mqtt.identity import plain, read_credentials, tls_context
from edge_fer.settings import MqttSettings

if TYPE_CHECKING:
    from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode

CONNECT_S = 4.0
"""Each step of dialling may take so long: the TCP connection, the TLS handshake, the broker's answer."""

_FRUITLESS = 3  # resumed links in a row that broke before anything was acknowledged
_BUSY = {0x88, 0x89, 0x97, 0x9F}  # the broker is unavailable, busy, over its quota or its rate: it comes by itself
_CREDENTIALS = {0x86, 0x87, 0x8C}  # bad user or password, not authorised, bad authentication method
_SILENT = 0x8D
_NORMALLY, _WITH_WILL = 0x00, 0x04  # DISCONNECT, by us
_CLOSED = "connection closed"
_LEAVING = {0x00, 0x8B, _SILENT, 0x98}  # DISCONNECT: normal, shutting down, keep-alive timeout, by its administrator


class LinkError(OutputError):
    """There is no link to the broker.

    Attributes:
        lasting: whether somebody has to mend something; else it comes back by itself.
    """

    def __init__(self, message: str, *, lasting: bool) -> None:
        super().__init__(message)
        self.lasting = lasting


class Connection:
    """A paho client that one thread dials and turns.

    Paho keeps the QoS 1 and 2 handshakes that are under way, and resumes them after `open` where the broker, too,
    still knows of them; where it does not, they are forgotten. So they are when links that resume them break one
    after the other: mosquitto that was killed takes up an old state, and throws out whoever knows better.

    Args:
        settings: where, and as whom.
        client_id: the broker keeps handshakes under this name.
        session_s: for so long after the link broke, seconds.
        will: what the broker publishes, retained, when the link breaks; null: nothing.

    Attributes:
        client: for publishing and for callbacks other than `on_connect`, `on_disconnect` and `on_log`.
        window: messages that the broker takes at once.
        max_packet: the longest packet that it takes, bytes.
        fruitless: resumed links since the last acknowledgement, which sets this to zero.

    Raises:
        ConfigError: when paho-mqtt is missing, or a file that the settings name cannot be used.
    """

    def __init__(
        self, settings: MqttSettings, client_id: str, *, session_s: float = 0, will: Message | None = None
    ) -> None:
        assert settings.host is not None
        self._settings, self._session_s = settings, session_s
        self._place = f"{settings.host}:{port_of(settings)}"
        self.client = _new_client(settings, client_id)
        self.window = self.max_packet = 0
        self.fruitless = 0
        self._known, self._resumed, self._kept = False, False, True
        self._answered = False
        self._ended: LinkError | None = None
        self._alert = ""
        if will is not None:
            self.client.will_set(will.topic, will.payload, qos=1, retain=True)
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = self._on_disconnect
        self.client.on_log = self._on_log

    def open(self) -> bool:
        """Dial, and wait for the broker's answer.

        Returns:
            Whether the handshakes that were under way go on; if not, paho has forgotten them.

        Raises:
            LinkError: when there is no link.
        """
        if self.fruitless >= _FRUITLESS:
            self._known = False
            self._forget()
        try:
            self._dial()
            if self._is_strange:
                self._dial_as_new()
        except LinkError:
            self._hang_up(_NORMALLY)
            raise
        except (OSError, UnicodeError) as error:  # the latter of a host that is no name at all
            raise self._unreachable(error) from error
        self._known = True
        goes_on, self._kept = self._kept, True
        return goes_on

    def turn(self, timeout_s: float, wake: socket.socket | None = None) -> None:
        """Let bytes flow.

        Args:
            timeout_s: returns after so many seconds at most.
            wake: or when something can be read from here.

        Raises:
            LinkError: when the link has ended.
        """
        poll, sock = select.poll(), self.client.socket()
        if sock is not None:
            poll.register(sock, select.POLLIN | (select.POLLOUT if self.client.want_write() else 0))
            if wake is not None:
                poll.register(wake, select.POLLIN)
            buffered = isinstance(sock, ssl.SSLSocket) and sock.pending()
            events = dict(poll.poll(0 if buffered else timeout_s * 1e3))
            mask = events.get(sock.fileno(), 0)
            if mask & ~select.POLLOUT or buffered:
                self.client.loop_read()
            if mask & select.POLLOUT:
                self.client.loop_write()
            self.client.loop_misc()
        if self.client.socket() is None:
            raise self._ended or self._broken(_CLOSED)

    def close(self, *, with_will: bool = False) -> None:
        """Take leave of the broker, which forgets this client.

        Args:
            with_will: whether it publishes the will, after all that it was sent.
        """
        self._hang_up(_WITH_WILL if with_will else _NORMALLY, _expiry(0, "DISCONNECT"))

    def _hang_up(self, code: int, properties: Properties | None = None) -> None:
        if self.client.socket() is not None:
            self.client.disconnect(_disconnect_code(code), properties)
            self.client.loop_write()

    def _dial(self) -> None:
        self._answered, self._ended, self._alert = False, None, ""
        # Without a clean start: of a session that began with one, mosquitto saves nothing when it is restarted.
        self.client.connect_async(
            str(self._settings.host),
            port_of(self._settings),
            self._settings.keepalive_s,
            clean_start=False,
            properties=_expiry(self._session_s),
        )
        self.client.reconnect()
        deadline = time.monotonic() + CONNECT_S
        while not self._answered:
            if time.monotonic() >= deadline:
                raise self._no_broker(_silence())
            self.turn(0.1)

    @property
    def _is_strange(self) -> bool:
        """Whether the broker remembers handshakes of an earlier start, and would take our numbers for theirs."""
        return self._resumed and not self._known

    def _forget(self) -> None:
        """Forget all handshakes; `open` tells of it once it succeeds, however often the link breaks before that."""
        self.client.drop_out_messages()
        self._kept = False

    def _dial_as_new(self) -> None:
        self.close()
        self._dial()
        if self._is_strange:  # we were back before our leave had reached it
            raise LinkError(
                f"expected the broker at {self._place} to forget the last session, found it remembered", lasting=False
            )

    def _on_connect(
        self, _client: Client, _data: Any, flags: ConnectFlags, code: ReasonCode, properties: Properties | None
    ) -> None:
        if code.is_failure:
            self._ended = self._refused(code)
            return
        self._answered, self._resumed = True, flags.session_present
        self.fruitless = self.fruitless + 1 if self._resumed else 0
        if not self._resumed:
            self._forget()
        self.window = getattr(properties, "ReceiveMaximum", 65_535)
        self.max_packet = getattr(properties, "MaximumPacketSize", 268_435_455)
        best_qos = getattr(properties, "MaximumQoS", 2)
        if best_qos < self._settings.qos:
            raise LinkError(
                f"expected the broker at {self._place} to take QoS {self._settings.qos}, found {best_qos} at most; "
                "set publish.mqtt.qos",
                lasting=True,
            )

    def _on_disconnect(
        self, _client: Client, _data: Any, flags: DisconnectFlags, code: ReasonCode, _properties: Any
    ) -> None:
        if self._ended is not None:
            return
        why = str(code).lower()
        if not flags.is_disconnect_packet_from_server:
            self._ended = self._broken("no answer any more" if code.value == _SILENT else _CLOSED)
        elif code.value in _LEAVING:
            self._ended = LinkError(
                f"expected the broker at {self._place} to stay, found that it takes leave: {why}",
                lasting=False,
            )
        else:
            self._ended = LinkError(
                f"expected the broker at {self._place} to keep this client, found that it was sent away: {why}; "
                "is there another with the same publish.mqtt.client_id?",
                lasting=code.value not in _BUSY,
            )

    def _on_log(self, _client: Client, _data: Any, _level: int, text: str) -> None:
        # Where the broker refuses our certificate paho tells its log alone why the connection ended.
        if "[SSL" in text:
            self._alert = plain(text.partition("[SSL: ")[2].partition("]")[0])

    def _unreachable(self, error: OSError | UnicodeError) -> LinkError:
        if isinstance(error, ssl.SSLCertVerificationError):
            return LinkError(
                f"expected a certificate of the broker at {self._place} that can be trusted, "
                f"found: {error.verify_message}; mend it, or set publish.mqtt.ca_file",
                lasting=True,
            )
        if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
            return self._no_broker(_CLOSED)
        if isinstance(error, ssl.SSLError):
            found = plain(error.reason or str(error))
            return LinkError(
                f"expected to agree on TLS with the broker at {self._place}, found: {found}; "
                "mend its certificate, or publish.mqtt.port, .tls or .cert_file",
                lasting=True,
            )
        if isinstance(error, TimeoutError):
            return self._no_broker(_silence())
        return self._no_broker(str(getattr(error, "strerror", None) or error).lower())

    def _no_broker(self, found: str) -> LinkError:
        """Nobody has answered yet: it may be no broker, or one with TLS that we dial without, or the reverse."""
        return LinkError(
            f"expected a broker at {self._place}, found: {found}; start it, or mend publish.mqtt.host, .port or .tls",
            lasting=False,
        )

    def _broken(self, found: str) -> LinkError:
        if self._answered:
            return LinkError(f"expected the link to the broker at {self._place} to hold, found: {found}", lasting=False)
        if not self._alert:
            return self._no_broker(found)
        return LinkError(
            f"expected the broker at {self._place} to accept our certificate, found: {self._alert}; "
            "mend publish.mqtt.cert_file",
            lasting=True,
        )

    def _refused(self, code: ReasonCode) -> LinkError:
        what = "credentials_file" if code.value in _CREDENTIALS else "client_id, or the broker (MQTT 5 is needed)"
        advice = "it is tried again" if code.value in _BUSY else f"mend publish.mqtt.{what}"
        return LinkError(
            f"expected the broker at {self._place} to let this client in, found: {str(code).lower()}; {advice}",
            lasting=code.value not in _BUSY,
        )


def port_of(settings: MqttSettings) -> int:
    """The broker's port."""
    return settings.port or (8883 if settings.tls else 1883)


def _new_client(settings: MqttSettings, client_id: str) -> Client:
    try:
        from paho.mqtt.client import Client, MQTTv5
        from paho.mqtt.enums import CallbackAPIVersion
    except ImportError as error:
        raise ConfigError(
            "publish.mqtt needs paho-mqtt 2.2 or later, which is not installed; pip install '.[mqtt]' in its checkout"
        ) from error
    client = Client(CallbackAPIVersion.VERSION2, client_id, protocol=MQTTv5)
    client.connect_timeout = CONNECT_S
    client.max_inflight_messages_set(0)  # whoever publishes keeps to the window
    client.on_socket_register_write = _leave_it_to_turn
    if settings.credentials_file is not None:
        client.username_pw_set(*read_credentials(settings.credentials_file))
    if settings.tls:
        client.tls_set_context(tls_context(settings))
    return client


def _silence() -> str:
    return f"no answer within {CONNECT_S:g} s"


def _leave_it_to_turn(_client: Client, _data: Any, _socket: Any) -> None:
    """With this callback paho leaves writing to whoever turns the client, who asks `want_write`."""


def _expiry(seconds: float, packet: str = "CONNECT") -> Properties:
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    properties = Properties(getattr(PacketTypes, packet))  # type: ignore[no-untyped-call]  # paho's has no types
    properties.SessionExpiryInterval = int(seconds)
    return properties


def _disconnect_code(code: int) -> ReasonCode:
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.reasoncodes import ReasonCode

    return ReasonCode(PacketTypes.DISCONNECT, identifier=code)

"""One connection to an MQTT broker, through paho."""

from __future__ import annotations

import select
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

from edge_fer.common.tls import plain
from edge_fer.errors import ConfigError
from edge_fer.publish.mqtt import link_error
from edge_fer.publish.mqtt.buffer import Message
from edge_fer.publish.mqtt.identity import read_credentials, tls_context
from edge_fer.publish.mqtt.incoming import MAX_PACKET, RECEIVE_MAXIMUM, CheckedSocket
from edge_fer.publish.mqtt.link_error import LinkError
from edge_fer.settings import MqttSettings

if TYPE_CHECKING:
    from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode

CONNECT_S = 4.0
"""How long each step of connecting may take, seconds: the TCP connection, the TLS handshake, the broker's answer."""

_MAX_FAILED_RESUMES = 3
_NORMALLY, _WITH_WILL = 0x00, 0x04  # reason codes of a DISCONNECT from this side


class Connection:
    """A paho client, for one thread.

    Paho keeps the QoS 1 and 2 handshakes that are in progress, and resumes them after `open` where the broker still has
    them, too; else they are forgotten. They are also forgotten when several links in a row break that have resumed
    them: mosquitto that was killed may restore an old session, and then disconnects a client that is ahead of it.

    Args:
        settings: the broker, and this box's name and credentials.
        client_id: the name under which the broker keeps the handshakes.
        session_s: how long the broker keeps them after the link broke, seconds.
        will: what the broker publishes, retained, when the link breaks; None: nothing.
        connect_s: how long each step of connecting may take, seconds.

    Attributes:
        place: host and port of the broker.
        client_id: see above.
        client: the paho client, for publishing and for callbacks other than `on_connect`, `on_disconnect` and `on_log`.
        window: messages that the broker accepts at once.
        max_packet: the longest packet that the broker accepts, bytes.
        stopping: `open` gives up once it is set.
        failed_resumes: resumed links since the last acknowledgement; whoever gets one sets this to zero.

    Raises:
        ConfigError: when paho-mqtt is missing, or a file that the settings name cannot be used.
    """

    def __init__(
        self,
        settings: MqttSettings,
        client_id: str,
        *,
        session_s: float = 0,
        will: Message | None = None,
        connect_s: float = CONNECT_S,
    ) -> None:
        assert settings.host is not None
        self._settings, self._session_s, self._connect_s = settings, session_s, connect_s
        self.client_id = client_id
        self.place = f"{settings.host}:{port_of(settings)}"
        self._silence = f"no answer within {connect_s:g} s"
        self.client = _new_client(settings, client_id, connect_s)
        self.window = self.max_packet = 0
        self.stopping = threading.Event()
        self.failed_resumes = 0
        self._owns_session = False  # whether the broker's session is of this process, if it has one
        self._resumed, self._kept = False, True
        self._answered = False
        self._ended: LinkError | None = None
        self._opened: CheckedSocket | None = None  # the last one, which paho may have let go of
        self._tls_alert = ""
        if will is not None:
            self.client.will_set(will.topic, will.payload, qos=1, retain=settings.retain)
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = self._on_disconnect
        self.client.on_log = self._on_log

    def open(self) -> bool:
        """Connect, and wait for the broker's answer.

        Returns:
            Whether the handshakes that were in progress go on; if not, paho has forgotten them.

        Raises:
            LinkError: when there is no link.
        """
        if self.failed_resumes >= _MAX_FAILED_RESUMES:
            self._owns_session = False
            self._forget()
        try:
            self._connect()
            if self._has_stale_session:
                self._connect_without_session()
        except LinkError:
            self._disconnect(_NORMALLY)
            raise
        except (OSError, UnicodeError) as error:  # the latter for a host that cannot be a name
            raise link_error.connecting_failed(self.place, error, self._silence) from error
        self._owns_session = True
        goes_on, self._kept = self._kept, True
        return goes_on

    def process(self, timeout_s: float, wake: socket.socket | None = None) -> None:
        """Read and write what is possible now, or wait for that.

        Args:
            timeout_s: how long to wait at most, seconds.
            wake: a socket that ends the wait once it can be read.

        Raises:
            LinkError: when the link has ended.
        """
        poll, sock = select.poll(), self._socket
        if sock is not None:
            is_writing = self.client.want_write()
            is_reading = not (is_writing and sock.is_flooded)
            poll.register(sock, select.POLLIN * is_reading | select.POLLOUT * is_writing)
            if wake is not None:
                poll.register(wake, select.POLLIN)
            buffered = is_reading and sock.pending()
            events = dict(poll.poll(0 if buffered else timeout_s * 1e3))
            mask = events.get(sock.fileno(), 0)
            if mask & ~select.POLLOUT or buffered:
                self.client.loop_read()
            if mask & select.POLLOUT:
                self.client.loop_write()
            self.client.loop_misc()
        if self.client.socket() is None:
            raise self._ended or self._broken(link_error.CLOSED)

    @property
    def _socket(self) -> CheckedSocket | None:
        """The socket; None without a connection."""
        sock = self.client.socket()
        assert sock is None or isinstance(sock, CheckedSocket), f"expected paho to use our socket, found {sock}"
        return sock

    def close(self, *, with_will: bool = False) -> None:
        """Disconnect; the broker forgets this client.

        Args:
            with_will: whether the broker publishes the will, after everything that it was sent.
        """
        self._disconnect(_WITH_WILL if with_will else _NORMALLY, _properties("DISCONNECT", SessionExpiryInterval=0))

    def _disconnect(self, code: int, properties: Properties | None = None) -> None:
        if self.client.socket() is not None:
            self.client.disconnect(_disconnect_code(code), properties)
            self.client.loop_write()

    def _connect(self) -> None:
        self._answered, self._ended, self._tls_alert = False, None, ""
        # Without a clean start: mosquitto does not save a session that began with one when it is restarted.
        self.client.connect_async(
            str(self._settings.host),
            port_of(self._settings),
            self._settings.keepalive_s,
            clean_start=False,
            properties=_properties(
                "CONNECT",
                SessionExpiryInterval=int(self._session_s),
                MaximumPacketSize=MAX_PACKET,
                ReceiveMaximum=RECEIVE_MAXIMUM,
            ),
        )
        self.client.reconnect()
        self._opened = self._socket
        deadline = time.monotonic() + self._connect_s
        while not self._answered:
            if self.stopping.is_set():  # nothing was sent yet if it was set while a name server was asked
                raise link_error.no_broker(self.place, "the end of this run")
            if time.monotonic() >= deadline:
                raise link_error.no_broker(self.place, self._silence)
            self.process(0.1)

    @property
    def _has_stale_session(self) -> bool:
        """Whether the broker has handshakes of an earlier process, with the same message numbers as this one's."""
        return self._resumed and not self._owns_session

    def _forget(self) -> None:
        """Forget all handshakes; `open` reports it once it succeeds, however often the link breaks before that."""
        self.client.drop_out_messages()
        self._kept = False

    def _connect_without_session(self) -> None:
        self.close()
        self._connect()
        if self._has_stale_session:  # the broker has accepted the new connection before it read the DISCONNECT
            raise link_error.session_remembered(self.place)

    def _on_connect(
        self, _client: Client, _data: Any, flags: ConnectFlags, code: ReasonCode, properties: Properties | None
    ) -> None:
        if code.is_failure:
            self._ended = link_error.refused(self.place, code)
            return
        self._answered, self._resumed = True, flags.session_present
        self.failed_resumes = self.failed_resumes + 1 if self._resumed else 0
        if not self._resumed:
            self._forget()
        if self._settings.retain and not getattr(properties, "RetainAvailable", 1):
            raise link_error.retain_refused(self.place)
        self.window = getattr(properties, "ReceiveMaximum", 65_535)
        if not self.window:
            raise link_error.not_mqtt(self.place, "that it accepts no message at all")
        self.max_packet = getattr(properties, "MaximumPacketSize", 268_435_455)
        best_qos = getattr(properties, "MaximumQoS", 2)
        if best_qos < self._settings.qos:
            raise link_error.qos_refused(self.place, self._settings.qos, best_qos)

    def _on_disconnect(
        self, _client: Client, _data: Any, flags: DisconnectFlags, code: ReasonCode, _properties: Any
    ) -> None:
        if self._ended is not None:
            return
        violation = self._opened.violation if self._opened is not None else None
        if flags.is_disconnect_packet_from_server:
            self._ended = link_error.disconnected(self.place, code)
        elif violation is not None or code.value == link_error.MALFORMED:
            self._ended = link_error.not_mqtt(self.place, violation or "a packet that is malformed")
        else:
            silent = code.value == link_error.SILENT
            self._ended = self._broken("no answer any more" if silent else link_error.CLOSED)

    def _on_log(self, _client: Client, _data: Any, _level: int, text: str) -> None:
        # Where the broker refuses this box's certificate, paho's log alone has the reason.
        if "[SSL" in text:
            self._tls_alert = plain(text.partition("[SSL: ")[2].partition("]")[0])

    def _broken(self, found: str) -> LinkError:
        if self._answered:
            return link_error.link_broke(self.place, found)
        if self._tls_alert:
            return link_error.certificate_refused(self.place, self._tls_alert)
        return link_error.no_broker(self.place, found)


def port_of(settings: MqttSettings) -> int:
    """The broker's port.

    Args:
        settings: the settings, which may leave the port to the default.
    """
    return settings.port or (8883 if settings.tls else 1883)


def _new_client(settings: MqttSettings, client_id: str, connect_s: float) -> Client:
    try:
        from paho.mqtt.client import Client, MQTTv5
        from paho.mqtt.enums import CallbackAPIVersion
    except ImportError as error:
        raise ConfigError(
            "publish.mqtt needs paho-mqtt 2.2 or later, which is not installed; pip install '.[mqtt]' in its checkout"
        ) from error

    class CheckedClient(Client):
        def _create_socket(self) -> CheckedSocket:
            return CheckedSocket(super()._create_socket())

    client = CheckedClient(CallbackAPIVersion.VERSION2, client_id, protocol=MQTTv5)
    client.connect_timeout = connect_s
    client.max_inflight_messages_set(0)  # the link keeps to the broker's window
    client.on_socket_register_write = _ignore
    if settings.credentials_file is not None:
        client.username_pw_set(*read_credentials(settings.credentials_file))
    if settings.tls:
        client.tls_set_context(tls_context(settings))
    return client


def _ignore(_client: Client, _data: Any, _socket: Any) -> None:
    """Do nothing. With this callback paho does not write in `publish`, but leaves that to `process`."""


def _properties(packet: str, **values: int) -> Properties:
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    properties = Properties(getattr(PacketTypes, packet))  # type: ignore[no-untyped-call]  # paho's has no types
    for name, value in values.items():
        setattr(properties, name, value)
    return properties


def _disconnect_code(code: int) -> ReasonCode:
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.reasoncodes import ReasonCode

    return ReasonCode(PacketTypes.DISCONNECT, identifier=code)

"""MAVLink over a serial line."""

from __future__ import annotations

import errno
import os
import pwd
import termios

from edge_fer.errors import ConfigError, OutputError
from edge_fer.publish.mavlink.link import READ_BYTES, Link, LinkDown
from edge_fer.settings.addresses import Url

WRITE_S = 1.0
"""A line that does not take a message within so long is down, seconds."""

_IN_USE = ("another program at it", "end that program (a console? ModemManager?)", OutputError)
_UNOPENED: dict[int | None, tuple[str, str, type[OutputError]]] = {  # what was found, what helps
    errno.ENOENT: ("no such device", "plug it in, or name another (publish.mavlink.url)", LinkDown),
    errno.ENXIO: ("nothing behind it", "plug it in", LinkDown),
    errno.EIO: ("a device that does not answer", "plug it in again", LinkDown),
    errno.EACCES: ("no permission", "let the user into its group, as by: usermod -aG dialout {user}", OutputError),
    errno.ENOTTY: ("something else", "name the serial device (publish.mavlink.url)", OutputError),
    errno.EAGAIN: _IN_USE,
    errno.EBUSY: _IN_USE,
}


class SerialLink(Link):
    """A serial line, 8N1, locked against other programs that lock it, too.

    Args:
        url: the device and its baud rate.
        write_s: how long the line may take to accept a message, seconds.

    Raises:
        LinkDown: when the device is not there now.
        OutputError: when a person must change something first.
        ConfigError: when pyserial is missing.
    """

    def __init__(self, url: Url, write_s: float = WRITE_S) -> None:
        try:
            import serial
        except ImportError as error:
            raise ConfigError(
                f"publish.mavlink: expected pyserial, found: {error}; pip install '.[mavlink]' in its checkout"
            ) from error
        self._name = url.place
        try:
            self._port = serial.Serial(url.place, url.number, timeout=0, write_timeout=write_s, exclusive=True)
        except (OSError, ValueError, termios.error) as error:
            otherwise = (str(error), "name another device or rate (publish.mavlink.url)", OutputError)
            found, hint, kind = _UNOPENED.get(_number(error), otherwise)
            hint = hint.format(user=_user())
            raise kind(
                f"expected a serial line at {url.place} with {url.number} baud, found {found}; {hint}"
            ) from error

    def fileno(self) -> int:
        """See `Link`."""
        return int(self._port.fileno())

    def read(self) -> bytes:
        """See `Link`."""
        try:
            return bytes(self._port.read(READ_BYTES))
        except OSError as error:
            raise self._down(error) from error

    def write(self, packet: bytes) -> None:
        """See `Link`."""
        try:
            self._port.write(packet)
        except OSError as error:
            raise self._down(error) from error

    def close(self) -> None:
        """See `Link`."""
        self._port.close()

    def _down(self, error: OSError) -> LinkDown:
        return LinkDown(f"expected the serial line {self._name} to work, found: {error}; is it still plugged in?")


def _number(error: Exception) -> int | None:
    """The errno of an error; pyserial turns that of termios into text."""
    cause = error.__context__ if isinstance(error.__context__, termios.error) else error
    return cause.args[0] if isinstance(cause, termios.error) else getattr(error, "errno", None)


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # a user without a name
        return str(os.geteuid())

"""Which run of this machine uses a client id: a broker ends the connection of one client where another has its id."""

from __future__ import annotations

import errno
import hashlib
import socket
import struct

from edge_fer.common.closeable import Closeable

_UCRED = struct.Struct("iII")  # process, user and group at the other end of a socket; unix(7)


class Claim(Closeable):
    """A client id at a broker, for one user of it on this machine at a time.

    It is an abstract socket (unix(7)): it needs no file, and is gone when its process is. Another container or
    machine does not see it.

    Args:
        place: host and port of the broker.
        client_id: the client id.
    """

    def __init__(self, place: str, client_id: str) -> None:
        name = hashlib.sha256(f"{place} {client_id}".encode()).hexdigest()
        self._address = f"\0edge-fer/mqtt/{name}"
        self._held: socket.socket | None = None

    def hold(self) -> bool:
        """Claim it, until `close`; false where another has it.

        Raises:
            OSError: when the kernel grants no such claim at all.
        """
        if self._held is None:
            sock = socket.socket(socket.AF_UNIX)
            try:
                sock.bind(self._address)
                sock.listen()
            except OSError as error:
                sock.close()
                if error.errno != errno.EADDRINUSE:
                    raise
                return False
            self._held = sock
        return True

    @property
    def holder(self) -> int | None:
        """The process that has it; None: nobody, or it cannot be seen."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(0.1)
            try:
                sock.connect(self._address)
                content = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
            except OSError:
                return None
        process: int = _UCRED.unpack(content)[0]
        return process or None

    def close(self) -> None:
        """Let another have it."""
        held, self._held = self._held, None
        if held is not None:
            held.close()

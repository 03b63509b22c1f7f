"""How the sinks of `failing_sinks.py` fail, and which of them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from typing import NamedTuple

from tools.field.failing_sinks_site import Site, run

REFUSED = bytes([0x20, 3, 0, 0x87, 0])  # CONNACK: not authorized


class Fault(NamedTuple):
    """A way to fail.

    Attributes:
        sinks: the sinks that must tell it.
        broken: breaks something, and repairs it.
    """

    sinks: tuple[str, ...]
    broken: Callable[[Site], AbstractContextManager[None]]


def between(
    sinks: tuple[str, ...], begin: Callable[[Site], object], end: Callable[[Site], object] = lambda _: None
) -> Fault:
    """A fault between two actions."""

    @contextmanager
    def broken(site: Site) -> Iterator[None]:
        begin(site)
        try:
            yield
        finally:
            end(site)

    return Fault(sinks, broken)


def fill(site: Site, left_mb: int) -> None:
    """Fill the disk, but for some megabytes."""
    free = shutil.disk_usage(site.folder).free
    with suppress(OSError), (site.folder / "filler").open("wb") as filler:  # what is free may have become less
        os.posix_fallocate(filler.fileno(), 0, max(free - left_mb * 2**20, 1))
    if not left_mb:
        with suppress(OSError), (site.folder / "filler2").open("wb") as filler:  # until there is no space left
            while True:
                filler.write(bytes(4096))
                filler.flush()


def empty(site: Site) -> None:
    """Take away what fills the disk."""
    for name in ("filler", "filler2"):
        (site.folder / name).unlink(missing_ok=True)


def permit(site: Site, mode: int) -> None:
    """Change who may use the disk's folders."""
    for name in ("rec", "log"):
        (site.folder / name).chmod(mode)


def write_protect(site: Site) -> None:
    """Make the disk read-only for whatever is opened from here on."""
    run("mount", "--bind", site.folder, site.folder)
    run("mount", "-o", "remount,bind,ro", site.folder)


@contextmanager
def refusing(site: Site) -> Iterator[None]:
    """Another broker in the place of ours, which refuses everybody."""
    site.broker.kill(signal.SIGKILL)
    site.wire.cut()
    stopping = threading.Event()
    with socket.create_server(("127.0.0.1", site.broker.port), reuse_port=False) as server:
        server.settimeout(0.2)

        def refuse() -> None:
            while not stopping.is_set():
                with suppress(OSError):  # nobody comes, or whoever came has left
                    client, _ = server.accept()
                    with client:
                        client.settimeout(1)
                        client.recv(4096)
                        client.sendall(REFUSED)

        thread = threading.Thread(target=refuse)
        thread.start()
        site.wire.mend()
        try:
            yield
        finally:
            stopping.set()
            thread.join()
    site.broker.start()


@contextmanager
def deaf_clients(site: Site) -> Iterator[None]:
    """Web clients that ask for everything, and read nothing."""
    with ExitStack() as stack:
        for path in ("/readings", "/metrics", "/") * 10:
            with suppress(OSError):  # the site takes no more of one address
                client = stack.enter_context(socket.create_connection(("127.0.0.1", site.http), 2))
                client.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        yield


def take_ports(site: Site) -> None:
    """Let the box serve at other ports, which are taken."""
    site.take_ports()
    site.signal(signal.SIGHUP)


DISK = {
    "disk full": between(("recording", "file"), lambda site: fill(site, 0), empty),
    "disk almost full": between(("recording",), lambda site: fill(site, 8), empty),
    "recordings' folder removed": between(
        ("recording",), lambda site: site.remove("rec"), lambda site: site.make("rec")
    ),
    "file's folder removed": between(("file",), lambda site: site.remove("log"), lambda site: site.make("log")),
    "permissions removed": between(
        ("recording", "file"), lambda site: permit(site, 0), lambda site: permit(site, 0o755)
    ),
    "disk read-only": between(("recording",), write_protect, lambda site: run("umount", "-l", site.folder)),
    "disk pulled": between(("recording", "file"), Site.unmount, Site.mount),
}
MQTT = {
    "broker killed": between(
        ("mqtt",), lambda site: site.broker.kill(signal.SIGKILL), lambda site: site.broker.start()
    ),
    "broker cut off": between(("mqtt",), lambda site: site.wire.cut(), lambda site: site.wire.mend()),
    "broker frozen": between(("mqtt",), lambda site: site.wire.hold(), lambda site: site.wire.mend()),
    "broker refuses": Fault(("mqtt",), refusing),
}
OUTPUT = {
    "output full": between(
        ("stdout",), lambda site: site.signal(signal.SIGUSR1), lambda site: site.signal(signal.SIGUSR2)
    ),
    "output's reader stops": between(("stdout",), lambda site: site.reader.stop(), lambda site: site.reader.come()),
    "output's reader gone": between(("stdout",), lambda site: site.reader.go(), lambda site: site.reader.come()),
}
LINKS = {
    "autopilot silent": between(("mavlink",), lambda site: site.speaks.clear(), lambda site: site.speaks.set()),
    "ports taken": between(("http", "mavlink"), take_ports, Site.free_ports),
    "web clients that read nothing": Fault((), deaf_clients),
}
KINDS = [sorted(kind) for kind in (DISK, MQTT, OUTPUT, LINKS)]
FAULTS: dict[str, Fault] = {**DISK, **MQTT, **OUTPUT, **LINKS}

"""A certificate authority for the tests of TLS."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.debian import program


class Certificates:
    """A certificate authority, certificates that it has signed, and another authority.

    Args:
        folder: the folder for the files NAME.crt and NAME.key.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for authority in ("ca", "other_ca"):
            self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                          "-days", "2", "-subj", f"/CN={authority}", "-keyout", self.path(f"{authority}.key"),
                          "-out", self.path(f"{authority}.crt"))  # fmt: skip
        self._sign("broker", "IP:127.0.0.1")
        self._sign("elsewhere", "DNS:elsewhere.example")
        self._sign("box", "DNS:box.example")

    def path(self, name: str) -> Path:
        """The path of one of the files."""
        return self._folder / name

    def listener(self, name: str = "broker", *extra: str) -> tuple[str, ...]:
        """Lines of mosquitto's settings for TLS with a certificate."""
        return (f"cafile {self.path('ca.crt')}", f"certfile {self.path(f'{name}.crt')}",
                f"keyfile {self.path(f'{name}.key')}", *extra)  # fmt: skip

    def _sign(self, name: str, alternative: str) -> None:
        request, extensions = self.path(f"{name}.csr"), self.path(f"{name}.ext")
        extensions.write_text(f"subjectAltName={alternative}\n")
        self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                      "-subj", f"/CN={name}", "-keyout", self.path(f"{name}.key"), "-out", request)  # fmt: skip
        self._openssl("x509", "-req", "-in", request, "-CA", self.path("ca.crt"), "-CAkey", self.path("ca.key"),
                      "-CAcreateserial", "-days", "2", "-extfile", extensions, "-out",
                      self.path(f"{name}.crt"))  # fmt: skip

    def _openssl(self, *arguments: str | Path) -> None:
        subprocess.run([program("openssl"), *arguments], check=True, capture_output=True, timeout=30)

"""Debian's headless Chromium, driven over the DevTools protocol."""

from __future__ import annotations

import base64
import json
import subprocess
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.request import urlopen

from websockets.sync.client import connect

from edge_fer.common.closeable import Closeable
from tests.support.debian import program
from tests.support.waiting import wait_until

PATIENCE_S = 10.0
_OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
    "--disable-dev-shm-usage", "--remote-debugging-port=0",
)  # fmt: skip


class Navigated(AssertionError):
    """The page went elsewhere while it was asked something."""


class Browser(Closeable):
    """One browser with one page.

    Attributes:
        requests: addresses that the page has requested.
        complaints: errors and warnings of its console, and uncaught exceptions.
    """

    def __init__(self) -> None:
        chromium = program("chromium")
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._calls = 0
        with ExitStack() as stack:
            folder = stack.enter_context(TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True))
            process = subprocess.Popen(
                [chromium, *_OPTIONS, f"--user-data-dir={folder}", "about:blank"],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stack.callback(process.wait, PATIENCE_S)
            stack.callback(process.terminate)
            port = wait_until(lambda: _port(Path(folder) / "DevToolsActivePort"), seconds=30, what="Chromium's port")
            with urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
                (page,) = (page for page in json.load(answer) if page["type"] == "page")
            self._socket = stack.enter_context(connect(page["webSocketDebuggerUrl"], max_size=None, compression=None))
            self._opened = stack.pop_all()
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        """End it."""
        self._opened.close()

    def call(self, method: str, **parameters: Any) -> Any:
        """One command of the protocol, and its answer."""
        self._calls += 1
        self._socket.send(json.dumps({"id": self._calls, "method": method, "params": parameters}))
        while (message := json.loads(self._socket.recv(PATIENCE_S))).get("id") != self._calls:
            self._note(message)
        if "navigated" in str(message.get("error")):
            raise Navigated(str(message))
        assert "error" not in message, message
        return message["result"]

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, expression: str, patience_s: float = PATIENCE_S) -> Any:
        """Wait until a JavaScript expression is true, and return its value."""

        def holds() -> Any:
            try:
                return self.evaluate(expression)
            except Navigated:
                return None

        return wait_until(holds, seconds=patience_s, what=expression)

    def text(self, selector: str) -> str:
        """The text of an element."""
        return str(self.evaluate(f"document.querySelector({selector!r}).textContent"))

    def visit(self, address: str) -> None:
        """Go to a page, and wait until it is there."""
        self.requests.clear()
        self.complaints.clear()
        self.call("Page.navigate", url=address)
        self.until("document.readyState !== 'loading' && location.href !== 'about:blank'")

    def press(self, key: str, code: int, text: str = "") -> None:
        """Press one key."""
        for kind in ("keyDown", "keyUp"):
            event = {"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code}
            if kind == "keyDown" and text:
                event["text"] = text
            self.call("Input.dispatchKeyEvent", **event)

    def resize(self, width: int, height: int, scale: float = 1.0) -> None:
        """Set the window's size, CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False
        )

    def prefer(self, **features: str) -> None:
        """Emulate media features, such as `prefers_color_scheme="dark"`."""
        chosen = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.call("Emulation.setEmulatedMedia", features=chosen)

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        """The page, or what of it is in the window, as PNG."""
        picture = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(picture["data"]))

    def _note(self, message: dict[str, Any]) -> None:
        parameters = message.get("params", {})
        if message["method"] == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif message["method"] == "Network.webSocketCreated":
            self.requests.append(parameters["url"])
        elif message["method"] == "Runtime.exceptionThrown":
            self.complaints.append(str(parameters["exceptionDetails"]))
        elif message["method"] == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
            self.complaints.append(f"{parameters['entry']['text']} {parameters['entry'].get('url', '')}")
        elif message["method"] == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning"):
            self.complaints.append(str(parameters["args"]))


def _port(path: Path) -> str | None:
    """The port in the file that the browser writes, once it is there."""
    try:
        return path.read_text().split()[0]
    except (FileNotFoundError, IndexError):
        return None

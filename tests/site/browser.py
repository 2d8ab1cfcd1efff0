"""A headless Chromium driven over its debugging pipe: no driver program, no socket, no package beyond Python's own."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--mute-audio",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--remote-debugging-pipe",
)


PATIENCE = 300.0
"""Seconds after which a browser that does not answer is taken for dead; a busy machine needs minutes for a page."""


def find() -> str | None:
    """The browser's program, or None: ``$AVLIB_CHROMIUM`` or one of the usual names."""
    named = os.environ.get("AVLIB_CHROMIUM")
    return named or next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One page of a browser that resolves no host name at all.

    ``requests`` and ``complaints`` (console errors, exceptions, failed loads) gather since the last :meth:`open`.
    """

    def __init__(self, program: str, width: int = 1280, height: int = 900) -> None:
        self.profile = tempfile.mkdtemp(prefix="avlib-chromium-")
        to_child, self.write = os.pipe()
        self.read, from_child = os.pipe()
        command = [program, *FLAGS, f"--user-data-dir={self.profile}", f"--window-size={width},{height}", "about:blank"]
        # The pipe is file descriptors 3 and 4 in the browser: a shell puts them there, whatever numbers they have here.
        line = f'exec "$@" 3<&{to_child} 4>&{from_child}'
        self.process = subprocess.Popen(
            ["bash", "-c", line, "chromium", *command],
            pass_fds=(to_child, from_child),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_child)
        os.close(from_child)
        self.buffer, self.count, self.session = b"", 0, ""
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.loaded = False
        self.attach()

    def attach(self) -> None:
        """Take the first page and switch on what is watched."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, timeout: float = PATIENCE, **params: Any) -> dict[str, Any]:
        """Send one command and wait for its answer, noting the events that arrive before it."""
        self.count += 1
        number = self.count
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + timeout
        while True:
            answer = self.receive(end)
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return dict(answer["result"])

    def receive(self, end: float) -> dict[str, Any]:
        """The next message; events are noted. TimeoutError when none comes, RuntimeError when the browser is gone."""
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.read], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise TimeoutError("the browser did not answer in time")
            piece = os.read(self.read, 1 << 20)
            if not piece:
                raise RuntimeError(f"the browser ended (exit status {self.process.poll()})")
            self.buffer += piece
        text, self.buffer = self.buffer.split(b"\0", 1)
        message = json.loads(text)
        self.note(message.get("method", ""), message.get("params", {}))
        return dict(message)

    def note(self, method: str, params: dict[str, Any]) -> None:
        """Keep what an event says about the page."""
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Page.loadEventFired":
            self.loaded = True
        elif method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            self.complaints.append(" ".join(str(a.get("value", a.get("description"))) for a in params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.complaints.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")

    def open(self, url: str, settle: float = 0.2) -> None:
        """Load a page and let its scripts run on for ``settle`` seconds."""
        self.requests, self.complaints, self.loaded = [], [], False
        self.call("Page.navigate", url=url)
        end = time.monotonic() + PATIENCE
        while not self.loaded:
            self.receive(end)
        self.wait(settle)

    def wait(self, seconds: float) -> None:
        """Note events for some time."""
        end = time.monotonic() + seconds
        try:
            while True:
                self.receive(end)
        except TimeoutError:
            pass

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression in the page; promises are awaited."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{script[:500]}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def key(self, name: str) -> None:
        """Press and release one key, named as in ``KeyboardEvent.key``."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32}
        text = {"Enter": "\r", " ": " "}.get(name)
        for kind in ("keyDown", "keyUp"):
            extra = {"text": text} if text and kind == "keyDown" else {}
            code = codes.get(name, 0)
            self.call("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code, **extra)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press the mouse at ``start`` (px), move it to ``end`` in a few steps, and let go."""
        places = [tuple(a + (b - a) * k / 4 for a, b in zip(start, end, strict=True)) for k in range(5)]
        kinds = ["mousePressed", *["mouseMoved"] * 4, "mouseReleased"]
        for kind, (x, y) in zip(kinds, [*places, places[-1]], strict=True):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    def swipe(self, start: tuple[float, float], distance: float) -> None:
        """Put a finger down at ``start`` (px), push the page up by ``distance``, and lift it."""
        (x, y), steps = start, 10
        self.call("Emulation.setTouchEmulationEnabled", enabled=True)
        self.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
        for k in range(1, steps + 1):
            self.call(
                "Input.dispatchTouchEvent", type="touchMove", touchPoints=[{"x": x, "y": y - distance * k / steps}]
            )
            self.wait(0.02)
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        self.call("Emulation.setTouchEmulationEnabled", enabled=False)

    def resize(self, width: int, height: int, mobile: bool = False) -> None:
        """Give the page another size (px)."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)

    def screenshot(self, path: Path) -> None:
        """Write what is visible as a PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def close(self) -> None:
        """End the browser and remove its profile."""
        os.close(self.write)
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.read)
        shutil.rmtree(self.profile, ignore_errors=True)

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

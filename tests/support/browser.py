"""A headless Chromium, driven over a pipe by its DevTools protocol: what it logs, asks for, and shows."""

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
MISSING = "no Chromium is installed (on Debian: apt-get install chromium)"
_PATIENCE_SECONDS = 60.0


class Browser:
    """One page of the browser. ``requests``: addresses that it asked for; ``complaints``: errors and warnings."""

    def __init__(self, read: int, write: int) -> None:
        """The ends of the pipes that are ours."""
        self._read, self._write = read, write
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.requests: list[str] = []
        self.complaints: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol; its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            found = self._next()
            if found.get("id") == self._number:
                assert "error" not in found, found
                result: dict[str, Any] = found["result"]
                return result

    def show(self, url: str, *, width: int = 1100, height: int = 900, theme: str = "light") -> float:
        """Open a page; the milliseconds until it was loaded and first painted, by the browser's own clock."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")
        timing = "performance.getEntriesByType('navigation')[0].loadEventEnd"
        painted = "performance.getEntriesByName('first-contentful-paint')"
        self.wait(f"{timing} > 0 && {painted}.length > 0")
        return float(self.ask(f"Math.max({timing}, {painted}[0].startTime)"))

    def ask(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, script: str, *, seconds: float = _PATIENCE_SECONDS) -> None:
        """Wait until an expression is true; raise AssertionError after ``seconds``."""
        deadline = time.monotonic() + seconds
        while not self.ask(script):
            assert time.monotonic() < deadline, f"never true: {script}"
            time.sleep(0.02)

    def picture(self, file: Path) -> None:
        """Save the whole page as PNG."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 12_000), "scale": 1}
        answer = self.call("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(answer["data"]))

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            found = os.read(self._read, 1 << 20)
            assert found, "the browser has ended"
            self._buffer += found
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        self._note(message.get("method", ""), message.get("params", {}))
        return message

    def _note(self, method: str, parameters: dict[str, Any]) -> None:
        notes: dict[str, Callable[[], Any]] = {
            "Network.requestWillBeSent": lambda: self.requests.append(parameters["request"]["url"]),
            "Runtime.exceptionThrown": lambda: self.complaints.append(json.dumps(parameters["exceptionDetails"])),
            "Log.entryAdded": lambda: self.complaints.append(json.dumps(parameters["entry"])),
            "Runtime.consoleAPICalled": lambda: self.complaints.append(json.dumps(parameters["args"])),
        }
        notes.get(method, lambda: None)()


@contextmanager
def opened_browser(folder: Path) -> Iterator[Browser]:
    """A browser whose profile is in ``folder``; it ends with the block."""
    assert PROGRAM is not None, MISSING
    to_read, their_write = os.pipe()
    their_read, to_write = os.pipe()
    # The protocol is spoken on descriptors 3 and 4.
    script = f'exec "$0" "$@" 3<&{their_read} 4>&{their_write}'
    options = (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe",
        "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
        f"--user-data-dir={folder}",
    )  # fmt: skip
    process = subprocess.Popen(
        ["bash", "-c", script, PROGRAM, *options, "about:blank"],
        pass_fds=(their_read, their_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(their_read)
    os.close(their_write)
    try:
        yield Browser(to_read, to_write)
    finally:
        os.close(to_write)
        process.kill()
        process.wait()
        os.close(to_read)

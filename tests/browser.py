"""Chromium without a window, driven by the DevTools protocol over two pipes; it may ask this machine only.

Source: https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAM = shutil.which("chromium") or shutil.which("google-chrome")
_PATIENCE_SECONDS = 20
_LEAVE_SECONDS = 5
_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--remote-debugging-pipe", "--disable-background-networking", "--disable-component-update",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip


class Page:
    """A page in a browser.

    Attributes:
        said: What the browser reports of it: exceptions of its program, refusals by its content policy, failed
            requests.
    """

    def __init__(self, written: int, read: int) -> None:
        self._written, self._read = written, read
        self._rest = b""
        self._last = 0
        self._session: str | None = None
        self.said: list[str] = []
        target = self.calls("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.calls("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "DOM"):
            self.calls(f"{domain}.enable")

    def calls(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Return the result of a method of the protocol."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._written, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + _PATIENCE_SECONDS
        while True:
            found = self._next(end)
            if found.get("id") == self._last:
                assert "error" not in found, found
                result: dict[str, Any] = found["result"]
                return result
            self._note(found)

    def _next(self, end: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._read], [], [], max(0.0, end - time.monotonic()))
            assert ready, "the browser does not answer"
            data = os.read(self._read, 1 << 20)
            assert data, "the browser has ended"
            self._rest += data
        message, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def _note(self, event: dict[str, Any]) -> None:
        if event["method"] == "Runtime.exceptionThrown":
            self.said.append(json.dumps(event["params"]["exceptionDetails"]))
        if event["method"] == "Log.entryAdded":
            self.said.append(event["params"]["entry"]["text"])

    def opens(self, address: str) -> None:
        """Go to an address."""
        self.calls("Page.navigate", url=address)
        self.until(f"location.href.startsWith({json.dumps(address)}) && document.readyState === 'complete'")

    def finds(self, expression: str) -> Any:
        """Return the value of an expression in JavaScript."""
        found = self.calls("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, expression: str) -> Any:
        """Return the value of an expression once it is true."""
        end = time.monotonic() + _PATIENCE_SECONDS
        while not (found := self.finds(expression)):
            assert time.monotonic() < end, f"{expression} is not so: {self.finds('document.body.innerText')!r}"
            time.sleep(0.02)
        return found

    def clicks(self, selector: str) -> None:
        """Click in the middle of an element with the mouse."""
        quoted = json.dumps(selector)
        x, y = self.finds(
            f"(() => {{ const found = document.querySelector({quoted}); found.scrollIntoView({{block: 'center'}}); "
            "const box = found.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.calls("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def types(self, text: str) -> None:
        """Type a text where the focus is."""
        self.calls("Input.insertText", text=text)

    def presses(self, key: str, code: int, modifiers: int = 0, text: str = "") -> None:
        """Press a key.

        Args:
            key: Its name.
            code: Its number.
            modifiers: 2 for the control key, 8 for shift.
            text: What it types.
        """
        at = {"key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": modifiers}
        self.calls("Input.dispatchKeyEvent", type="keyDown", text=text, **at)
        self.calls("Input.dispatchKeyEvent", type="keyUp", **at)

    def chooses(self, selector: str, file: Path) -> None:
        """Choose a file in a field for files."""
        root = self.calls("DOM.getDocument")["root"]["nodeId"]
        found = self.calls("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.calls("DOM.setFileInputFiles", files=[str(file)], nodeId=found)

    def picture(self, file: Path) -> None:
        """Write what it looks like to a PNG file."""
        file.write_bytes(base64.b64decode(self.calls("Page.captureScreenshot", captureBeyondViewport=True)["data"]))


def _pipe() -> tuple[int, int]:
    """Return the ends of a pipe, with numbers above those that the browser is given."""
    low = os.pipe()
    read, written = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in low)
    for end in low:
        os.close(end)
    return read, written


@contextmanager
def browsing(folder: Path) -> Iterator[Page]:
    """Run a browser with its files in a folder; yield an empty page."""
    assert PROGRAM
    read_by_it, written = _pipe()
    read, written_by_it = _pipe()
    process = os.posix_spawn(
        PROGRAM,
        [PROGRAM, *_FLAGS, f"--user-data-dir={folder}"],
        {**os.environ, "HOME": str(folder)},
        file_actions=[
            (os.POSIX_SPAWN_DUP2, read_by_it, 3),
            (os.POSIX_SPAWN_DUP2, written_by_it, 4),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ],
        setpgroup=0,
    )
    for end in (read_by_it, written_by_it):
        os.close(end)
    try:
        yield Page(written, read)
    finally:
        os.close(written)  # it ends by itself, and ends its own processes
        if not _ends(process):
            os.killpg(process, signal.SIGKILL)
            os.waitpid(process, 0)
        os.close(read)


def _ends(process: int) -> bool:
    """Return whether a process ends by itself soon."""
    end = time.monotonic() + _LEAVE_SECONDS
    while os.waitpid(process, os.WNOHANG) == (0, 0):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True

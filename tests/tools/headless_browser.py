"""A headless Chromium for tests of pages, driven through a pipe by the DevTools protocol."""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

#: Where Chromium is; None: not on this machine.
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

#: Seconds until an answer or a download must be there, on a busy machine.
PATIENCE = 300


class HeadlessBrowser:
    """One browser with one page; to be used in a ``with`` statement.

    Parameters
    ----------
    folder
        Gets the profile, and ``saved`` with what is downloaded.
    """

    def __init__(self, folder: Path) -> None:
        self.saved = folder / "saved"
        self.saved.mkdir(parents=True)
        # Chromium reads from 3 and writes to 4; above these nothing is in the way.
        pairs = [[fcntl.fcntl(end, fcntl.F_DUPFD, 20) for end in os.pipe()] for _ in range(2)]
        (read, self._out), (self._in, write) = pairs
        assert CHROMIUM is not None
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
        command = [CHROMIUM, *options, f"--user-data-dir={folder / 'profile'}", "about:blank"]
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{read} 4>&{write}', "-", *command],
            pass_fds=(read, write),
            stderr=subprocess.DEVNULL,
        )
        for end in (read, write):
            os.close(end)
        self._buffer, self._number, self.events = b"", 0, []  # type: ignore[var-annotated]
        self._session: str | None = None

    def __enter__(self) -> HeadlessBrowser:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.call(
            "Browser.setDownloadBehavior",
            behavior="allow",
            downloadPath=str(self.saved),
            eventsEnabled=True,
        )
        self._session = attached["sessionId"]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait(30)
        for end in (self._in, self._out):
            os.close(end)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                return dict(answer["result"])

    def _next(self) -> dict[str, Any]:
        end = time.monotonic() + PATIENCE
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(0, end - time.monotonic()))
            assert ready, "Chromium does not answer"
            piece = os.read(self._in, 1 << 16)
            assert piece, "Chromium has ended"
            self._buffer += piece
        text, _, self._buffer = self._buffer.partition(b"\0")
        message = dict(json.loads(text))
        if "method" in message:
            self.events.append(message)
        return message

    def open(self, page: Path, *, width: int, dark: bool = False, media: str = "screen") -> None:
        """Show a file at a width in pixels."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self.call("Page.enable")
        self.events.clear()
        self.call("Page.navigate", url=page.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self._next()

    def value(self, expression: str) -> Any:
        """Return the value of an expression in the page."""
        found = self.call(
            "Runtime.evaluate",
            expression=expression,
            returnByValue=True,
            awaitPromise=True,
            userGesture=True,
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait_for_downloads(self, number: int) -> None:
        """Wait until so many files were saved since the page was opened."""
        done: list[str] = []
        while len(done) < number:
            self._next()
            done = [
                str(event["params"]["guid"])
                for event in self.events
                if event["method"] == "Browser.downloadProgress"
                and event["params"]["state"] == "completed"
            ]

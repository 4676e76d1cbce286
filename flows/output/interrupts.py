"""Ctrl-C: one line and exit code 130, within seconds, whatever the process is doing.

Python raises KeyboardInterrupt in the main thread, which unwinds the work. That may take long
(compiled code, the import of TensorFlow, a server that no longer answers), and a library may
swallow the exception. So a thread waits for the signal as well, and ends the process and its
workers a few seconds later. Nothing is half-written then: files appear by a rename, as after a
power cut.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from typing import Any

#: Exit code of an interrupted command: 128 + SIGINT.
INTERRUPTED = 130

#: What is printed about it.
LINE = "interrupted; the same command continues where it stopped"

#: Seconds the work gets to end by itself.
PATIENCE = 3.0


class Interrupts:
    """Ends this process soon after the first Ctrl-C, and at once on the second.

    Attributes
    ----------
    seen
        Whether there was one.
    """

    def __init__(self) -> None:
        self.seen = threading.Event()
        self._lock = threading.Lock()
        self._reported = False
        self._stderr = os.dup(2)  # fd 2 leads elsewhere while TensorFlow is imported

    def watch(self) -> None:
        """Begin; only the main thread may call this, once per process."""
        # A command in the background of a script ignores Ctrl-C, and goes on doing so.
        if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            return
        reading, writing = os.pipe()
        for end in (reading, writing):
            os.set_inheritable(end, False)
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        threading.Thread(target=self._wait, args=(reading,), daemon=True).start()

    def report(self) -> None:
        """Write the line, unless it was written."""
        with self._lock:
            if self._reported:
                return
            self._reported = True
        # Erase a line that stands there unfinished, and show the cursor that bars have hidden.
        begin = "\r\x1b[2K\x1b[?25h" if os.isatty(self._stderr) else ""
        try:
            os.write(self._stderr, f"{begin}crosslabel: {LINE}\n".encode())
        except OSError:
            return  # nobody reads it

    def _wait(self, reading: int) -> None:
        while signal.SIGINT not in os.read(reading, 1):
            pass
        self.seen.set()
        # What is torn down meanwhile complains of it.
        sys.unraisablehook = threading.excepthook = _nothing
        second = threading.Thread(target=self._second, args=(reading,), daemon=True)
        second.start()
        second.join(PATIENCE)
        self.leave()

    def _second(self, reading: int) -> None:
        while signal.SIGINT not in os.read(reading, 1):
            pass

    def leave(self) -> None:
        """End this process now, and the processes it started."""
        self.report()
        for child in multiprocessing.active_children():
            child.kill()
        os._exit(INTERRUPTED)


def _nothing(what: Any) -> None:
    del what

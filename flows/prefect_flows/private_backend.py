"""The private backend as a process that ends with the run that started it, however that ends.

Prefect starts its backend as a process and stops it at exit, which a killed run does not reach. So
the process holds the reading end of a pipe, of which only the run has the other end: it reads
nothing until the kernel closes that end.

Called as ``python -m flows.prefect_flows.private_backend DESCRIPTOR MODULE ARGUMENTS…``.
"""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import threading
from typing import Any


class EndsWithUs(subprocess.Popen[Any]):
    """A Python process that runs ``-m MODULE ARGUMENTS…`` and ends when this process does.

    Parameters
    ----------
    args
        ``[python, "-m", MODULE, ARGUMENTS…]``
    options
        As of :class:`subprocess.Popen`.
    """

    def __init__(self, args: list[str], **options: Any) -> None:
        reading, self._held = os.pipe()
        python, _, *rest = args
        try:
            super().__init__(
                [python, "-m", __name__, str(reading), *rest], pass_fds=[reading], **options
            )
        finally:
            os.close(reading)


def _end_with(descriptor: int) -> None:
    os.read(descriptor, 1)
    os._exit(0)  # the database of the backend survives that, and nobody asks any more


if __name__ == "__main__":
    threading.Thread(target=_end_with, args=(int(sys.argv[1]),), daemon=True).start()
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)

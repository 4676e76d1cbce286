"""Which processor computes: numbers trained on one differ in the last digits from another's."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

#: Vector instructions that oneDNN and Eigen choose their kernels by, narrow to wide. Each adds
#: numbers in another order.
_INSTRUCTIONS = ("sse4_1", "avx", "avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "amx_bf16")
_ARM_INSTRUCTIONS = ("asimd", "bf16", "sve", "sve2", "sme")
#: What a user can set that changes which of them are used.
_VARIABLES = ("ONEDNN_MAX_CPU_ISA", "TF_ENABLE_ONEDNN_OPTS", "DNNL_MAX_CPU_ISA")


def described(cpuinfo: str) -> tuple[str | None, list[str]]:
    """Return the model and the vector instructions that the text of ``/proc/cpuinfo`` names.

    Parameters
    ----------
    cpuinfo
        Lines ``key : value``. x86 says ``model name`` and ``flags``; ARM says ``Features`` and
        numbers, ``CPU implementer`` and ``CPU part``, which are returned as the model.

    Returns
    -------
    tuple
        Of the first processor: its model, None if the text names none; its instructions, narrow
        to wide.
    """
    found: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            found.setdefault(key.strip(), value.strip())
    flags = set(found.get("flags", found.get("Features", "")).split())
    model = found.get("model name")
    if not model and "CPU part" in found:
        model = f"ARM implementer {found.get('CPU implementer', '?')} part {found['CPU part']}"
    return model or None, [name for name in (*_INSTRUCTIONS, *_ARM_INSTRUCTIONS) if name in flags]


def processor() -> dict[str, str | list[str]]:
    """Return what the system says about the processor, for the record of a result.

    Returns
    -------
    dict
        ``architecture`` (``x86_64``), ``model`` (``AMD EPYC 7763 64-Core Processor``; where the
        system does not say, the architecture again), ``instructions`` (vector instructions, empty
        where unknown), and the variables that limit which of them TensorFlow uses, if set.
    """
    model: str | None = None
    instructions: list[str] = []
    try:
        model, instructions = described(Path("/proc/cpuinfo").read_text(errors="replace"))
    except OSError:
        if sys.platform == "darwin":
            model = _of_macos()
    architecture = platform.machine()
    return {
        "architecture": architecture,
        "model": model or architecture,
        "instructions": instructions,
        **{name: os.environ[name] for name in _VARIABLES if name in os.environ},
    }


def _of_macos() -> str | None:
    command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return said.stdout.strip() or None

"""What the form of a deployment says about each parameter, in words without markup.

Prefect takes it from a docstring in Google's style; ours are in NumPy's.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

#: Parameters that many flows share. Their docstrings refer to the library function instead.
_SHARED = {
    "project": "A project file, or the folder that holds project.yaml.",
    "registry": "The registry of arriving genomes: a folder of YAML files, or a YAML file.",
    "workers": "Dask worker processes to start; 0 does the work in one process.",
    "train_workers": "Runs that are trained at once, each in a Dask worker; 0: one by one.",
    "train_threads": "Threads of TensorFlow in each training; results depend on this number.",
    "dask_scheduler": "Address of a running Dask cluster, for example tcp://host:8786.",
    "scheduler_file": "Scheduler file of a running Dask cluster.",
    "memory": "Memory that each worker may use, for example 2GB.",
    "replace": "Overwrite what was made from other inputs or settings.",
    "report": "Which report: project, or paper, with the published tables and figures as well.",
    "repair": "Write groups again that are damaged.",
    "verify_cache": "Read genomes and chains whole, whatever the cache holds of them.",
    "name": "Name of the genome.",
    "sequence": "Its sequence: FASTA or 2bit, plain or packed.",
    "chain": "Chain file from the labelled genome to this one.",
    "distance": "Substitutions per site from the labelled genome.",
    "alias": "Contig names of the chain and what the sequence calls them.",
    "digest": "Of the genome's files, as the sensor announced it.",
    "attempt": "Number of the attempt to append it, from 1.",
}


def _entries(doc: str) -> dict[str, str]:
    """Return what a NumPy docstring says of each parameter that has an entry of its own."""
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\w+\n-+\n|\Z)", doc, re.DOTALL | re.MULTILINE)
    found: dict[str, str] = {}
    if section is None:
        return found
    for names, body in re.findall(
        r"((?:^\S.*\n)+)((?:^(?:[ ]+.*)?\n?)+)", section[1], re.MULTILINE
    ):
        if "," not in names:
            found[names.strip()] = " ".join(body.split())
    return found


def _plain(text: str) -> str:
    """Return a text without reST: ``x`` and :func:`a.b` are x and b."""
    text = re.sub(r":\w+:`(?:[\w.]+\.)?(\w+)`", r"\1", text)
    return text.replace("`", "")


def form_docstring(function: Callable[..., Any]) -> str:
    """Return the docstring of a flow from which Prefect makes its description and its form.

    Raises
    ------
    TypeError
        A parameter is described nowhere.
    """
    doc = inspect.cleandoc(function.__doc__ or "")
    own = _entries(doc + "\n")
    lines = []
    for name in inspect.signature(function).parameters:
        text = own.get(name, "")
        if not text or text.startswith("See "):
            text = _SHARED.get(name, "")
        if not text:
            raise TypeError(f"{function.__qualname__}: no description of {name}")
        lines.append(f"    {name}: {_plain(text)}")
    summary = _plain(doc.partition("\nParameters\n")[0].strip())
    return "\n".join([summary, "", "Args:", *lines]) if lines else summary

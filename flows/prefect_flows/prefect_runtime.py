"""Prefect without a server: environment, settings and how one step becomes one task.

Runs are recorded by a private backend (a process of its own on 127.0.0.1 and a SQLite file in the
cache folder) unless ``PREFECT_API_URL`` or ``PREFECT_HOME`` is set. :func:`prepare` must run before
Prefect is imported, which is when Prefect reads its settings.
"""

from __future__ import annotations

import functools
import inspect
import logging
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

from flows.prefect_flows.asset_lineage import DESCRIBED, Assets
from flows.prefect_flows.form_text import form_docstring
from flows.prefect_flows.private_backend import EndsWithUs
from ssldata.base.cache_folder import cache_dir
from ssldata.base.errors import ClusterError, CrosslabelError
from ssldata.base.progress import NoProgress, Progress

Result = TypeVar("Result")

_LOG = logging.getLogger(__name__)

#: Loggers to which Prefect writes the traceback of one and the same error.
_PREFECT_LOGGERS = ("prefect.task_runs", "prefect.flow_runs", "prefect.engine")

#: Name → whether it is a flag, of the parameters of the flow that runs; none for the command line.
_PARAMETERS: ContextVar[Mapping[str, bool] | None] = ContextVar(
    "crosslabel_parameters", default=None
)

#: Progress reporter. Not a flow parameter: those are sent to the backend as JSON.
PROGRESS: ContextVar[Progress] = ContextVar("crosslabel_progress", default=NoProgress())  # noqa: B039  # stateless


def prepare(*, verbosity: int = 0) -> None:
    """Set the environment that Prefect reads when it is imported; the user's settings stay.

    Parameters
    ----------
    verbosity
        Prefect's own log is shown if 1 or more. Otherwise it is silent even about failed tasks:
        their exception reaches the caller as it is, and the log would only repeat it as a
        traceback.
    """
    try:
        Path.home()
    except RuntimeError:  # Prefect looks for its profiles there, and fails without one
        os.environ["HOME"] = str(cache_dir("home"))
    if "PREFECT_API_URL" not in os.environ and "PREFECT_HOME" not in os.environ:
        # One folder per version: an older Prefect cannot read a database that a newer one migrated.
        os.environ["PREFECT_HOME"] = str(cache_dir("prefect", version("prefect")))
    defaults = {
        "PREFECT_LOGGING_LEVEL": "INFO" if verbosity > 0 else "CRITICAL",
        # At exit the backend may log late events, and its libraries tracebacks of closed
        # connections; neither matters any more.
        "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_INTERNAL_LOGGING_LEVEL": "ERROR" if verbosity > 0 else "CRITICAL",
        "PREFECT_LOGGING_ROOT_LEVEL": "WARNING" if verbosity > 0 else "CRITICAL",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        # Ten seconds on an idle machine, more on a busy one; the default of 20 s is tight.
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    # A proxy must not be asked for the backend on this machine.
    for name in ("NO_PROXY", "no_proxy"):
        hosts = [host for host in os.environ.get(name, "").split(",") if host]
        os.environ[name] = ",".join(dict.fromkeys([*hosts, "127.0.0.1", "localhost"]))
    # Waiting for the last events at exit is normal; this logger is outside Prefect's own levels.
    logging.getLogger("EventsWorker").setLevel(logging.ERROR)


@contextmanager
def flow_settings(progress: Progress | None = None) -> Iterator[None]:
    """Start or reach the backend, and run flows in the block with crosslabel's settings.

    Heartbeats are off: they cost a second per flow, and cannot be disabled in the environment.

    Raises
    ------
    ClusterError
        The backend does not answer, or no longer does.
    """
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.settings import (
        PREFECT_API_URL,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        temporary_settings,
    )

    progress = progress or NoProgress()
    token, words = PROGRESS.set(progress), _PARAMETERS.set({})
    where = PREFECT_API_URL.value() or "the private Prefect backend"
    if not PREFECT_API_URL.value():
        _backend_ends_with_us()
    try:
        with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
            try:
                with progress.task("start Prefect"), get_client(sync_client=True) as client:
                    client.hello()
            except (httpx.HTTPError, RuntimeError) as exc:
                raise ClusterError(
                    f"{where}: does not answer ({type(exc).__name__}); "
                    "start it, or unset PREFECT_API_URL to run without a server"
                ) from exc
            with interrupts_first():
                try:
                    yield
                except httpx.TransportError as exc:
                    raise ClusterError(
                        f"{where}: no longer answers ({type(exc).__name__}); what is finished "
                        "stays, the same command continues where it stopped"
                    ) from exc
    finally:
        PROGRESS.reset(token)
        _PARAMETERS.reset(words)


def _backend_ends_with_us() -> None:
    """Let the private backend end even if this process is killed; Prefect stops it at exit."""
    from prefect.server.api import server

    # All that the module calls of subprocess is Popen, once, for the backend.
    vars(server)["subprocess"] = SimpleNamespace(
        Popen=EndsWithUs, TimeoutExpired=subprocess.TimeoutExpired
    )


def log_user_errors_plainly() -> None:
    """Keep tracebacks of errors a user can act on out of Prefect's log; their message is enough."""
    for name in _PREFECT_LOGGERS:
        logging.getLogger(name).addFilter(_without_traceback)
    logging.getLogger("flows.steps.pipeline").addFilter(_failed_runs_in_parameters)


def _failed_runs_in_parameters(record: logging.LogRecord) -> bool:
    record.msg, record.args = _in_parameters(record.getMessage()), None
    return True


def advises_parameters(function: Callable[..., Result]) -> Callable[..., Result]:
    """Make the errors of a flow name its parameters, as a deployment has them, not options.

    ``--replace`` becomes ``replace=true``. A flow that the command line runs keeps the options.
    The docstring becomes one from which Prefect can describe the parameters in its form.
    """
    # Prefect would look for the types of a text in this module.
    signature = inspect.signature(function, eval_str=True)
    flags = {name: known.annotation is bool for name, known in signature.parameters.items()}

    @functools.wraps(function)
    def flow(*args: Any, **kw: Any) -> Result:
        token = _PARAMETERS.set(flags if _PARAMETERS.get() is None else {})
        try:
            with _errors_in_parameters():
                return function(*args, **kw)
        finally:
            _PARAMETERS.reset(token)

    flow.__signature__ = signature  # type: ignore[attr-defined]
    flow.__doc__ = form_docstring(function)
    return flow


@contextmanager
def _errors_in_parameters() -> Iterator[None]:
    try:
        yield
    except CrosslabelError as exc:
        exc.args = (_in_parameters(str(exc)),)
        raise


def _in_parameters(text: str) -> str:
    flags = _PARAMETERS.get() or {}

    def parameter(found: re.Match[str]) -> str:
        name = found[1].replace("-", "_")
        if name not in flags:
            return found[0]
        return f"{name}=true" if flags[name] else name

    return re.sub(r"--([a-z][a-z-]*)", parameter, text)


def _without_traceback(record: logging.LogRecord) -> bool:
    if record.exc_info and isinstance(record.exc_info[1], CrosslabelError):
        record.exc_info = None
    return True


def log_groups(groups: Sequence[Mapping[str, Any]]) -> None:
    """Log the status and digest of groups of stores in the log of the flow run.

    This links a flow run to what it wrote. A store records neither time nor flow run, so that
    equal inputs give equal bytes.
    """
    from prefect import get_run_logger

    for group in groups:
        get_run_logger().info("%(store)s / %(group)s: %(status)s, digest %(digest)s", group)


@contextmanager
def interrupts_first() -> Iterator[None]:
    """Raise KeyboardInterrupt in place of an error that an interrupt caused.

    Ctrl-C in a terminal also stops the private backend, and Prefect then fails to record there
    that the flow was interrupted.
    """
    try:
        yield
    except Exception as exc:
        seen: set[int] = set()
        left: list[BaseException | None] = [exc]
        while left:
            error = left.pop()
            if error is None or id(error) in seen:
                continue
            if isinstance(error, KeyboardInterrupt):
                raise KeyboardInterrupt from exc
            seen.add(id(error))
            left += [error.__cause__, error.__context__]
        raise


def run_name(template: str) -> Callable[[], str]:
    """Return what Prefect calls to name a run of a flow: ``append {name} to {project}``.

    Parameters
    ----------
    template
        Names of parameters stand in braces. Of a path or address only the last part is shown, of
        a project file the folder: an address may hold a password.
    """

    def name() -> str:
        from prefect.runtime import flow_run

        try:
            given = {key: _last_part(str(value)) for key, value in flow_run.parameters.items()}
            return " ".join(template.format(**given).split())
        except Exception:  # a name is not worth a run
            return template.split(" {")[0]

    return name


def _last_part(text: str) -> str:
    """Return what a path or address is called: ``a/yeast/project.yaml`` is yeast."""
    if "://" not in text:
        path = Path(text).expanduser()
        text = str(path.parent if path.name == "project.yaml" else path)
        return Path(text).absolute().name or text
    place = text.partition("://")[2].partition("?")[0].rpartition("@")[2]
    return place.rstrip("/").rpartition("/")[2]


def task_name(kind: str, label: str) -> str:
    """Return what a task run is called: ``train Reb1 cnn-27k ssl seed 0``.

    Parameters
    ----------
    kind, label
        See :func:`step`.
    """
    first, _, rest = label.partition(" / ")
    if kind == "build-reference":
        return f"build {first} reference"
    if kind == "build-genome":
        return f"build {first} homologs/{rest}"
    verb = {"call-peaks": "call peaks of"}.get(kind, kind.partition("-")[0])
    return f"{verb} {label.replace(' / ', ' ')}"


def step(
    kind: str, label: str, function: Callable[..., Result], /, *args: Any, **kw: Any
) -> Result:
    """Run one library call as one Prefect task and return its result.

    Parameters
    ----------
    kind
        Name of the task, one per kind of step: ``build-genome``.
    label
        What it is done to, in parts joined by " / ": ``Reb1 / CBS432``; see :func:`task_name`.
    function, args, kw
        The call, ``function(*args, **kw)``.
    """
    return step_of_assets(Assets(), kind, label, function, *args, **kw)


def step_of_assets(
    assets: Assets,
    kind: str,
    label: str,
    function: Callable[..., Result],
    /,
    *args: Any,
    **kw: Any,
) -> Result:
    """Run one library call as one Prefect task that makes assets.

    The arguments are bound before Prefect sees the call, so it neither hashes nor copies them.
    Nothing is cached (the libraries decide from the files themselves what is up to date) and
    nothing is retried (a wrong input stays wrong).

    Parameters
    ----------
    assets
        What it makes, and of what.
    kind, label, function, args, kw
        See :func:`step`.
    """
    from prefect import task
    from prefect.assets import materialize
    from prefect.cache_policies import NO_CACHE

    def call() -> Result:
        began = time.time_ns()
        with _errors_in_parameters():
            result = function(*args, **kw)
        if assets.made:
            with never_failing(f"{label}: its assets"):
                _describe_assets(assets, result, began)
        return result

    options: dict[str, Any] = {
        "name": kind,
        # A text would be read as a template.
        "task_run_name": lambda: task_name(kind, label),
        "cache_policy": NO_CACHE,
        "persist_result": False,
        "retries": 0,
    }
    made: Callable[..., Any] = task(**options)
    if assets.made:
        with never_failing(f"{label}: its assets"):
            made = materialize(*assets.made, by="crosslabel", asset_deps=list(assets.of), **options)
    wrapped: Callable[[], Result] = made(call)
    return wrapped()


def _describe_assets(assets: Assets, result: Any, began: int) -> None:
    """Tell Prefect what was made; what was there already is no materialization.

    A step that returns a run folder made it if it wrote ``run.json`` since it `began`, in
    nanoseconds of the epoch.
    """
    from prefect.context import AssetContext

    context = AssetContext.get()
    if context is None:
        return
    if isinstance(result, Path) and (record := result / "run.json").is_file():
        unchanged = record.stat().st_mtime_ns < began
    else:
        unchanged = isinstance(result, Mapping) and result.get("status") == "unchanged"
    if unchanged:
        context.downstream_assets.clear()
    elif isinstance(result, Mapping):
        shown = {key: result[key] for key in DESCRIBED if key in result}
        for asset in assets.made:
            context.add_asset_metadata(asset, shown)


@contextmanager
def never_failing(what: str) -> Iterator[None]:
    """Warn of an error in the block, and go on: what Prefect shows of a run is not worth the run.

    Parameters
    ----------
    what
        What the block records, for the warning.
    """
    try:
        yield
    except Exception as exc:
        lines = str(exc).splitlines() or [""]
        _LOG.warning("%s: not recorded by Prefect (%s: %s)", what, type(exc).__name__, lines[0])

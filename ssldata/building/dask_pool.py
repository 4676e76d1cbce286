"""Dask workers: a local cluster, an external scheduler, or none.

This is the only module that imports distributed.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ssldata.base.cache_folder import cache_dir
from ssldata.base.errors import ClusterError, ConfigError

#: Seconds to wait for an external scheduler and its first worker.
CONNECT_SECONDS = 4
WORKER_SECONDS = 2
#: How often a local cluster is started if a worker is killed while it starts.
START_ATTEMPTS = 3


class Pool(Protocol):
    """Runs an importable function over arguments and yields results as they complete."""

    def map(
        self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]
    ) -> Iterator[Any]:
        """Call `function` with each tuple of arguments."""
        ...


class SerialPool:
    """Runs everything in this process, in order: ordinary tracebacks, no cluster."""

    def map(
        self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]
    ) -> Iterator[Any]:
        """Call `function` with each tuple of arguments, one after the other."""
        for item in arguments:
            yield function(*item)


class DaskPool:
    """Runs tasks on a Dask client. Arguments are paths and numbers, never arrays."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def map(
        self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]
    ) -> Iterator[Any]:
        """Submit every call at once and yield results as they complete."""
        from distributed import KilledWorker, as_completed

        # pure=False: a result remembered by the scheduler would skip writing the store again.
        futures = [self.client.submit(function, *item, pure=False) for item in arguments]
        try:
            for future in as_completed(futures):
                yield future.result()
        except KilledWorker as exc:
            raise ClusterError(
                "a task killed its worker repeatedly, most likely for lack of memory; give each "
                "worker more (--memory; see `crosslabel plan` for what one needs) or use fewer"
            ) from exc
        finally:
            self.client.cancel(futures)

    def run_all(
        self,
        function: Callable[..., Any],
        calls: Mapping[str, tuple[Any, ...]],
        *,
        after: Mapping[str, Sequence[str]],
    ) -> Iterator[tuple[str, Any]]:
        """Run named calls, some after others; one that fails does not stop the rest.

        Parameters
        ----------
        function
            Importable by the workers.
        calls
            Name → arguments. A call comes after those it waits for.
        after
            Name → names of the calls it waits for; it fails if any of them fails.

        Yields
        ------
        tuple of (name, result)
            As they complete; the result of a call that failed is its exception.

        Raises
        ------
        ClusterError
            The scheduler went away.
        """
        from distributed import KilledWorker, as_completed

        futures: dict[str, Any] = {}
        for name, arguments in calls.items():
            waits = [futures[other] for other in after.get(name, ())]
            futures[name] = self.client.submit(_after, function, arguments, waits, pure=False)
        names = {future.key: name for name, future in futures.items()}
        try:
            for future in as_completed(futures.values()):
                if future.cancelled():
                    raise ClusterError(
                        "the Dask scheduler went away; the same command continues with another"
                    )
                error = future.exception()
                if isinstance(error, KilledWorker):
                    error = ClusterError(
                        "killed its worker repeatedly, most likely for lack of memory"
                    )
                yield names[future.key], future.result() if error is None else error
        finally:
            self.client.cancel(list(futures.values()))

    @contextlib.contextmanager
    def told(self, topic: str, handler: Callable[[Any], None]) -> Iterator[None]:
        """Call `handler` with everything that workers :func:`tell` about a topic in the block.

        It is called in a thread of the client, in the order of each worker, and before the call
        that told it counts as complete.
        """
        from distributed.client import ClosedClientError

        self.client.subscribe_topic(topic, lambda event: handler(event[1]))
        try:
            yield
        finally:
            with contextlib.suppress(ClosedClientError):  # the scheduler went away
                self.client.unsubscribe_topic(topic)


def tell(topic: str, message: Any) -> bool:
    """Tell the process that asked for this call something; return whether it can hear it.

    Parameters
    ----------
    topic
        That of :meth:`DaskPool.told`.
    message
        Plain values.
    """
    from distributed import get_worker

    try:
        get_worker().log_event(topic, message)
    except ValueError:  # not on a worker
        return False
    return True


def _after(function: Callable[..., Any], arguments: tuple[Any, ...], waits: list[Any]) -> Any:
    """Call a function, after Dask has waited for `waits`."""
    del waits
    return function(*arguments)


def check_one_place(options: Mapping[str, object]) -> None:
    """Raise :class:`ConfigError` if more than one of the options (name → value) is given."""
    given = [name for name, value in options.items() if value]
    if len(given) > 1:
        raise ConfigError(f"{' and '.join(given)} exclude each other; give one of them")


def check_memory(memory: str, *, workers: int, needed: int) -> None:
    """Raise :class:`ClusterError` unless `workers` local workers can work within a memory limit.

    Parameters
    ----------
    memory
        Limit of each worker, for example ``2GB``.
    workers
        Workers that will be started; a limit without any is an error.
    needed
        Bytes that one is known to need.
    """
    from dask.utils import parse_bytes

    if not workers:
        raise ClusterError(
            f"--memory {memory}: limits the workers that --workers starts, and none is started"
        )
    try:
        limit = int(parse_bytes(memory))
    except ValueError as exc:
        raise ClusterError(f"--memory {memory}: not a size; write 2GB or 1500MB") from exc
    if limit < needed:
        raise ClusterError(
            f"--memory {memory}: a worker of this project needs {-(-needed // 1_000_000)}MB "
            "(see `crosslabel plan`)"
        )


def _bounded(make: Callable[[], Any], seconds: float) -> Any:
    """Call `make` with a time limit; distributed waits forever for a silent server."""
    done: list[Any] = []

    def attempt() -> None:
        try:
            done.append((make(), None))
        except BaseException as exc:  # raised in the waiting thread
            done.append((None, exc))

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(seconds)
    if not done:
        raise TimeoutError
    made, error = done[0]
    if error is not None:
        raise error
    return made


def _check_scheduler_file(path: Path) -> None:
    """Raise :class:`ClusterError` unless a file is one that a Dask scheduler wrote."""
    try:
        json.loads(path.read_text(encoding="utf-8"))["address"]
    except OSError as exc:
        raise ClusterError(f"{path}: no such scheduler file") from exc
    except (ValueError, KeyError, TypeError) as exc:
        raise ClusterError(
            f"{path}: not a scheduler file (it has no address); "
            "`dask scheduler --scheduler-file FILE` writes one"
        ) from exc


@contextlib.contextmanager
def open_pool(
    *,
    workers: int = 0,
    scheduler: str | None = None,
    scheduler_file: Path | None = None,
    memory: str | None = None,
    needed: int = 0,
) -> Iterator[Pool]:
    """Open what runs the tasks of a build.

    Parameters
    ----------
    workers
        Processes of a local cluster; 0 runs everything in this process.
    scheduler
        Address of a running Dask scheduler, for example ``tcp://10.0.0.1:8786``.
    scheduler_file
        The file to which a running Dask scheduler wrote its address.
    memory
        Memory limit per local worker, for example ``2GB``: a worker that exceeds it is stopped
        and restarted.
    needed
        Bytes a worker is known to need; a smaller `memory` is refused.

    Raises
    ------
    ClusterError
        `memory` is not a size, too small, or given without local workers; the scheduler file is
        not one; the scheduler cannot be reached, or has no workers, within 6 seconds; local
        workers cannot be started.
    """
    if memory is not None:
        check_memory(memory, workers=workers, needed=needed)
    if not workers and scheduler is None and scheduler_file is None:
        yield SerialPool()
        return
    import dask
    from distributed import Client

    if scheduler is not None or scheduler_file is not None:
        where = scheduler or str(scheduler_file)
        if scheduler_file is not None:
            _check_scheduler_file(scheduler_file)
        # A failed connection logs tracebacks of its own; our one line is enough.
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        client = None
        try:
            place = {"address": scheduler} if scheduler else {"scheduler_file": str(scheduler_file)}
            client = _bounded(lambda: Client(**place, timeout=CONNECT_SECONDS), CONNECT_SECONDS + 1)
            client.wait_for_workers(1, timeout=WORKER_SECONDS)
        except Exception as exc:  # the answer of another server makes distributed raise anything
            if client is not None:
                client.close()
            expected = isinstance(exc, OSError | TimeoutError | ValueError)
            raise ClusterError(
                f"{where}: no Dask scheduler with workers answered within "
                f"{CONNECT_SECONDS + WORKER_SECONDS} s ({type(exc).__name__}"
                f"{'' if expected else ': another server answers there'}); start one, "
                "or use --workers"
            ) from exc
        with client:
            yield DaskPool(client)
        return
    # By default Dask makes its workers return freed memory at once; every temporary array is then
    # page-faulted in again, which makes this work three to four times slower.
    keep = {
        "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": 20_000_000_000,
        "distributed.nanny.pre-spawn-environ.MALLOC_MMAP_THRESHOLD_": 20_000_000_000,
    }
    cache_dir("genomes")  # if it is a private one, workers started from here on share it
    with (
        dask.config.set(keep),
        _local_cluster(workers, memory) as cluster,
        Client(cluster) as client,
    ):
        yield DaskPool(client)


def _local_cluster(workers: int, memory: str | None) -> Any:
    """Return a running local cluster; a worker that dies as it starts gets further attempts."""
    from distributed import LocalCluster

    for left in reversed(range(START_ATTEMPTS)):
        try:
            return LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address="127.0.0.1:0",
                memory_limit=memory or "auto",
                silence_logs=logging.CRITICAL,  # failures are raised here, in one line
            )
        except Exception as exc:  # whatever the machine refuses: memory, processes, /dev/shm, ports
            if not left:
                reason = " ".join(str(exc).split()).rstrip(".") or type(exc).__name__
                raise ClusterError(
                    f"--workers {workers}: local workers cannot be started ({reason}); they need "
                    "memory, /dev/shm and a temporary folder; use fewer, or none to do the work in "
                    "this process"
                ) from exc
    raise AssertionError

"""Where tasks run: in this process, on its cores, or on a Dask cluster; always through joblib."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import joblib

from pipeline.base.errors import DataError

Task = TypeVar("Task")
Result = TypeVar("Result")
BACKENDS = ("loky", "threading", "dask")
IDLE_SECONDS = 20  # how long workers outlive a parent that was killed
CONNECT_SECONDS = 20
DISPATCHED = 256  # tasks that a cluster holds at once


def run_tasks(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    jobs: int = 1,
    backend: str = "loky",
    scheduler: str | None = None,
) -> Iterator[Result]:
    """``function(task)`` for every task, in the order in which they end.

    Tasks are drawn from the iterable as workers become free: one that stops yielding ends the run
        early, with what was
    begun completed.

    Args:
        function: importable by name in the workers; sets nothing in its process but OpenCV's
            threads.
        jobs: workers; with ``scheduler`` the cluster decides.
        backend: ``loky`` (processes), ``threading`` or ``dask``.
        scheduler: address of a Dask scheduler; without one ``dask`` starts ``jobs`` workers here.

    Raises:
        DataError: a worker was killed, or the scheduler can't be reached; or what ``function``
            raised.
    """
    with _context(jobs, backend, scheduler) as settings:
        parallel = joblib.Parallel(return_as="generator_unordered", batch_size=1, **settings)
        results = parallel(joblib.delayed(function)(task) for task in tasks)
        try:
            yield from results
        except _killed_errors() as error:
            raise DataError(
                "worker",
                "a worker process was killed, mostly for want of memory",
                remedy="Run the same command again, with a smaller --jobs: "
                "finished shards are kept",
            ) from error
        finally:
            results.close()


@contextlib.contextmanager
def _context(jobs: int, backend: str, scheduler: str | None) -> Iterator[dict[str, Any]]:
    if backend not in BACKENDS:
        raise DataError("--backend", repr(backend), " or ".join(BACKENDS))
    if backend != "dask":
        if scheduler:
            raise DataError(
                "--scheduler",
                f"an address with the backend {backend}",
                "the backend dask",
                "Add --backend dask",
            )
        options = {"idle_worker_timeout": IDLE_SECONDS} if backend == "loky" else {}
        with joblib.parallel_config(backend=backend, **options):
            yield {"n_jobs": jobs}
        return
    with _dask_client(jobs, scheduler) as client, joblib.parallel_config(backend="dask"):
        # Enough under way for workers that come later: joblib counts them only once.
        yield {"n_jobs": -1, "pre_dispatch": max(DISPATCHED, 2 * sum(client.ncores().values()))}


@contextlib.contextmanager
def _dask_client(jobs: int, scheduler: str | None) -> Iterator[Any]:
    """A client of the scheduler, or of one that lasts as long as the run."""
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise DataError(
            "--backend", "dask is not installed", remedy="pip install 'fittingroom[cluster]'"
        ) from error
    with contextlib.ExitStack() as stack:
        try:
            where = scheduler or stack.enter_context(
                LocalCluster(jobs, threads_per_worker=1, dashboard_address=None)
            )
            client = stack.enter_context(Client(where, timeout=CONNECT_SECONDS))
            client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except (OSError, ValueError) as error:  # a timeout is an OSError
            raise DataError(
                "--scheduler",
                f"no Dask scheduler with workers answers at {scheduler} ({error})"[:300],
                remedy="Start dask-scheduler and dask-worker, and give the address that the first "
                "prints",
            ) from error
        yield client


def _killed_errors() -> tuple[type[BaseException], ...]:
    from joblib.externals.loky.process_executor import BrokenProcessPool

    with contextlib.suppress(ImportError):
        from distributed.scheduler import KilledWorker

        return BrokenProcessPool, KilledWorker
    return (BrokenProcessPool,)

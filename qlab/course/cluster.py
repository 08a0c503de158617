"""Run the long commands of the course on a cluster: joblib's workers become those of a Dask scheduler.

    dask scheduler                                        # on one machine
    dask worker tcp://HOST:8786 --nthreads 1              # on each that works, in the same environment
    python -m qlab.course results --scheduler tcp://HOST:8786

One thread for each worker: what a method costs is counted as processor time of its process. A worker that is lost in
mid-run costs the entries that it had not finished; Dask gives them to another.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["workers"]


@contextmanager
def workers(scheduler: str | None) -> Iterator[None]:
    """Send what joblib runs in this block to a Dask scheduler; to this machine if it is None.

    Parameters
    ----------
    scheduler : str or None
        As "tcp://127.0.0.1:8786".

    Raises
    ------
    ValueError
        If nobody answers there.
    """
    if scheduler is None:
        yield
        return
    from dask.distributed import Client
    from joblib import parallel_config

    try:
        client = Client(scheduler, timeout=10)
    except (OSError, TimeoutError) as error:
        raise ValueError(f"scheduler must be the address of a running Dask scheduler, got {scheduler!r}") from error
    with client, parallel_config("dask"):
        yield

"""The executor `ray`: workers on the machines of a Ray cluster describe the photos."""

from __future__ import annotations

from collections.abc import Iterable

from olpipe.hookspecs import hookimpl
from olpipe.interfaces import Executor
from olpipe_ray.executor import RayExecutor


@hookimpl
def register_executors() -> Iterable[Executor]:
    """Bring the executor."""
    return (RayExecutor(),)

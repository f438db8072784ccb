"""The executor `local`: threads of this process decode photos ahead of the model."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain

from olpipe.hookspecs import hookimpl
from olpipe.image import ImageFile
from olpipe.interfaces import Executor, Job
from olpipe.record import Outcome

AHEAD = 2
"""How many photos are decoded and looked at by perceivers while the model is busy with others."""


class LocalExecutor(Executor):
    """Works on a few photos at a time and yields their outcomes in the order in which the photos came."""

    name = "local"

    def map(self, job: Job, images: Iterable[ImageFile]) -> Iterator[Outcome]:
        """Yield one outcome for every image.

        When the machine fails, photos that have not begun are dropped, and those that have are waited for.
        """
        images = iter(images)
        first = next(images, None)
        if first is None:
            return
        with job.open() as session:
            threads = session.slots + AHEAD
            with ThreadPoolExecutor(threads, thread_name_prefix="photo") as pool:
                window: deque[Future[Outcome]] = deque()
                try:
                    for image in chain((first,), images):
                        window.append(pool.submit(session.work, image))
                        while len(window) > threads or (window and window[0].done()):
                            yield window.popleft().result()
                    while window:
                        yield window.popleft().result()
                finally:
                    for future in window:
                        future.cancel()


@hookimpl
def register_executors() -> Iterable[Executor]:
    """Return the executor."""
    return (LocalExecutor(),)

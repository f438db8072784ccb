"""The executor `ray`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from olpipe.image import ImageFile
from olpipe.interfaces import Executor, Job
from olpipe.record import Outcome
from olpipe.settings import Settings
from olpipe_ray.cluster import connected
from olpipe_ray.crew import Crew


class RayExecutor(Executor):
    """Has workers on the machines of a Ray cluster describe the photos. Outcomes come in the order of their ends.

    Workers get the paths of photos, and read the files where they are.
    """

    name = "ray"

    def map(self, job: Job, images: Iterable[ImageFile]) -> Iterator[Outcome]:
        """Yield one outcome for every image.

        What is at work when a worker or its machine dies goes to another worker.

        Raises:
            UsageError: A setting has a value that it cannot have.
            MachineError: There is no cluster, or none of its machines can do the work.
        """
        images = iter(images)
        first = next(images, None)
        if first is None:
            return
        with connected(Settings.read()) as cluster, Crew(cluster, job) as crew:
            yield from crew.outcomes(chain((first,), images))

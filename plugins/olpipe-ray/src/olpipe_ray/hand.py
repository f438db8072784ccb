"""A worker as the run sees it: an actor, and the photos that it has."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

from olpipe_ray.cluster import Cluster, Node
from olpipe_ray.piece import Piece
from olpipe_ray.worker import Worker

CLOSING_S = 60.0
"""How long workers may take to finish the photos that they have begun, and to close the job."""

STARTING_S = 5.0
"""The same for workers that have not opened the job yet: there may be no room for them in the cluster."""


@dataclass(slots=True, eq=False)
class Hand:
    """A worker on some machine.

    Attributes:
        actor: The handle of its actor.
        node: Its machine.
        opening: The call that opens the job, until that is done.
        room: How many photos it takes at once; 0 until the job is open.
        at_work: The photos that it has, by their calls, oldest first.
    """

    actor: Any
    node: Node
    opening: Any
    room: int = 0
    at_work: dict[Any, Piece] = field(default_factory=dict)
    closing: Any = None

    @classmethod
    def start(cls, cluster: Cluster, node: Node, gpus: float, job: bytes, version: str) -> Self:
        """Start a worker and have it open a job, without waiting for that."""
        actor = cluster.start(Worker, node, gpus)
        return cls(actor, node, actor.open.remote(job, version))

    def refs(self) -> list[Any]:
        """Return the calls that have not been answered."""
        return [*self.at_work, *([] if self.opening is None else [self.opening])]

    def give(self, piece: Piece) -> None:
        """Have it describe a photo."""
        self.at_work[self.actor.work.remote(piece.image, piece.path)] = piece

    def leave(self) -> None:
        """Have it close the job when it has finished what it is at. Nobody waits for its answers any more."""
        self.at_work.clear()
        if self.closing is None:
            self.closing = self.actor.close.remote()

    @staticmethod
    def close_all(hands: Sequence[Hand]) -> None:
        """Have workers close the job, and wait for that."""
        import ray
        from ray.exceptions import RayError

        with suppress(RayError):
            for hand in hands:
                hand.leave()
            for refs, seconds in (
                ([hand.closing for hand in hands if hand.room], CLOSING_S),
                ([hand.closing for hand in hands if not hand.room], STARTING_S),
            ):
                if refs:
                    ray.wait(refs, num_returns=len(refs), timeout=seconds)

    def kill(self) -> None:
        """End its process."""
        import ray
        from ray.exceptions import RayError

        with suppress(RayError, ValueError):
            ray.kill(self.actor)

"""Requests that wait for a slot, taken from their clients in turns."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from olpipe.engine.protocol import Embed, Submit


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request, and when it came in, in nanoseconds of the monotonic clock."""

    command: Submit | Embed
    arrived_ns: int


class WaitingRoom:
    """Each client's requests keep their order; clients take turns.

    A client that sends a thousand requests at once delays another client's next request by only one.
    """

    def __init__(self) -> None:
        self._clients: dict[str, deque[Waiting]] = {}  # the client whose turn is next comes first; no queue is empty

    def __bool__(self) -> bool:
        return bool(self._clients)

    def add(self, waiting: Waiting) -> None:
        """Let a request wait behind its client's other ones. A client that had none is the last to have its turn."""
        self._clients.setdefault(waiting.command.client, deque()).append(waiting)

    def take(self) -> Waiting:
        """Take the oldest request of the client whose turn it is."""
        client = next(iter(self._clients))
        queue = self._clients.pop(client)
        waiting = queue.popleft()
        if queue:
            self._clients[client] = queue
        return waiting

    def drop(self, sequence_id: int) -> None:
        """Forget a request; one that does not wait is ignored."""
        for client, queue in self._clients.items():
            for waiting in queue:
                if waiting.command.sequence_id == sequence_id:
                    queue.remove(waiting)
                    if not queue:
                        del self._clients[client]
                    return

"""A request on its way to whichever process will answer it."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue

from olpipe.engine.stream import CANCELLED, Delivery, Stream
from olpipe.generation import GenerateRequest


class Ticket:
    """What the engine knows of a request until it is answered.

    Attributes:
        request: What is asked; None once a runner has begun it, since it is never sent again then.
        client: Who asks.
        delivery: Where its answer goes.
        withdraw: Takes it back from the process that has it; None while none has.
        cancelled: Whether nobody wants the answer any more.
    """

    def __init__(self, request: GenerateRequest, client: str) -> None:
        """Make a ticket that no process has."""
        self.request: GenerateRequest | None = request
        self.client = client
        self.delivery: Delivery = SimpleQueue()
        self.withdraw: Callable[[], None] | None = None
        self.cancelled = False

    def stream(self) -> Stream:
        """Return the answer."""
        return Stream(self.delivery, self.cancel)

    def cancel(self) -> None:
        """Give the request up, wherever it is; may be called twice.

        No lock here: a garbage collection may call this in a thread that holds one. Whoever hands the ticket to
        a process sets `withdraw` first and looks at `cancelled` then, and this does it the other way round.
        """
        self.cancelled = True
        withdraw = self.withdraw
        if withdraw is None:
            self.delivery.put(CANCELLED)
        else:
            withdraw()

"""A request on its way to whichever process will answer it."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from itertools import count
from queue import SimpleQueue

from olpipe.embedding import EmbedRequest
from olpipe.engine.stream import CANCELLED, Delivery, Reply, Stream
from olpipe.generation import GenerateRequest

_numbers = count()


class Ticket:
    """What the engine knows of a request until it is answered.

    Attributes:
        number: The order in which requests came.
        request: What is asked. None for somebody who only wants the model loaded.
        client: Who asks.
        begun: Whether a runner has begun it. It is never sent again then.
        delivery: Where its answer goes.
        withdraw: Takes it back from whoever has it; None while nobody has.
        send_again: Sends it on its way again if its name no longer means the model with a digest, and says whether it
            does; None where it goes to one process and nowhere else.
        cancelled: Whether nobody wants the answer any more.
        load_ns: How long it waited for its model to be loaded.
    """

    def __init__(self, request: GenerateRequest | EmbedRequest | None, client: str = "") -> None:
        """Make a ticket that nobody has."""
        self.number = next(_numbers)
        self.request = request
        self.client = client
        self.begun = False
        self.delivery: Delivery = SimpleQueue()
        self.withdraw: Callable[[], object] | None = None
        self.send_again: Callable[[Ticket, str], bool] | None = None
        self.cancelled = False
        self.load_ns = 0
        self._made_ns = time.monotonic_ns()
        self._ends = count()

    def stream(self) -> Stream:
        """Return the answer to come, in chunks."""
        return Stream(self.delivery, self.cancel)

    def reply(self) -> Reply:  # type: ignore[type-arg]  # the caller knows what it asked for
        """Return the answer to come, in one piece."""
        return Reply(self.delivery, self.cancel)

    def loaded(self) -> None:
        """Note that its model is loaded now, after it had to wait for that."""
        self.load_ns = time.monotonic_ns() - self._made_ns

    def end(self, item: object) -> None:
        """Deliver the last of the answer. Only the first end counts, so that nobody has to know of the others."""
        if next(self._ends) == 0:  # no lock is needed: counting is atomic
            self.delivery.put(item)

    def cancel(self) -> None:
        """Give the request up, wherever it is; may be called twice.

        No lock here: a garbage collection may call this in a thread that holds one. Whoever takes the ticket sets
        `withdraw` first and looks at `cancelled` then, and this does it the other way round.
        """
        self.cancelled = True
        self.end(CANCELLED)
        withdraw = self.withdraw
        if withdraw is not None:
            withdraw()


class Waiters:
    """Tickets that wait for a model to be loaded. Each leaves once: it is taken, or it is cancelled."""

    def __init__(self) -> None:
        self._tickets: dict[Ticket, None] = {}

    def __len__(self) -> int:
        return len(self._tickets)

    def add(self, ticket: Ticket) -> None:
        """Let a ticket wait."""
        self._tickets[ticket] = None
        ticket.withdraw = partial(self._pop, ticket)
        if ticket.cancelled:
            ticket.withdraw()

    def take_all(self) -> list[Ticket]:
        """Take every ticket, in the order in which their requests came."""
        waiting = sorted(self._tickets, key=lambda ticket: ticket.number)
        return [ticket for ticket in waiting if self._pop(ticket)]

    def _pop(self, ticket: Ticket) -> bool:
        """Take one ticket out; False when it has left. No lock is needed: taking out of a dictionary is atomic."""
        if self._tickets.pop(ticket, ticket) is not None:
            return False
        ticket.withdraw = None
        return True

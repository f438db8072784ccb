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
from olpipe.tokens import TokenRequest

_numbers = count()


class Ticket:
    """What the engine knows of a request until it is answered.

    Attributes:
        number: Grows from request to request: tickets with lower numbers came first.
        request: What is asked. None where somebody only wants the model loaded.
        client: Who asks.
        begun: Whether a runner has begun it. Then it is never sent again.
        delivery: Where its answer goes.
        withdraw: Takes it back from whoever has it; None while nobody has it.
        send_again: Takes the ticket and a model's digest. If the request's name no longer stands for that model, it
            sends the ticket to the new one and returns True. None where the ticket can go to one process only.
        cancelled: Whether nobody wants the answer any more.
        load_ns: How long it waited for its model to be loaded.
    """

    def __init__(
        self,
        request: GenerateRequest | EmbedRequest | TokenRequest | None,
        client: str = "",
        delivery: Delivery | None = None,
    ) -> None:
        """Make a ticket that nobody has yet. Without a delivery, it has a queue of its own."""
        self.number = next(_numbers)
        self.request = request
        self.client = client
        self.begun = False
        self._mailbox: SimpleQueue[object] | None = SimpleQueue() if delivery is None else None
        self.delivery: Delivery = self._mailbox or delivery  # type: ignore[assignment]
        self.withdraw: Callable[[], object] | None = None
        self.send_again: Callable[[Ticket, str], bool] | None = None
        self.cancelled = False
        self.load_ns = 0
        self._made_ns = time.monotonic_ns()
        self._ends = count()

    def stream(self) -> Stream:
        """Return the answer to come, in chunks."""
        return Stream(self._mailbox, self.cancel)

    def reply(self) -> Reply:  # type: ignore[type-arg]  # the caller knows what it asked for
        """Return the answer to come, in one piece."""
        assert self._mailbox is not None
        return Reply(self._mailbox, self.cancel)

    def loaded(self) -> None:
        """Note that its model is loaded now, and how long the ticket waited for that."""
        self.load_ns = time.monotonic_ns() - self._made_ns

    def end(self, item: object) -> None:
        """Deliver the end of the answer. Only the first call counts, so callers need not know of each other."""
        if next(self._ends) == 0:  # no lock is needed: counting is atomic
            self.delivery.put(item)

    def cancel(self) -> None:
        """Give the request up, wherever it is. This may be called twice.

        It takes no lock, because a garbage collection may call it in a thread that holds one. Whoever takes the ticket
        first sets `withdraw` and then looks at `cancelled`. This does the opposite, so one of the two always notices
        the other.
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
        """Take one ticket out; False when it has left already. No lock is needed: `dict.pop` is atomic."""
        if self._tickets.pop(ticket, ticket) is not None:
            return False
        ticket.withdraw = None
        return True

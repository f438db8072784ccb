"""Tickets: one end each, whoever has them."""

import pytest

from olpipe.engine.stream import CANCELLED
from olpipe.engine.ticket import Ticket, Waiters
from olpipe.errors import GenerationError
from olpipe.generation import Chunk, FinishReason, Usage

LAST = Chunk("b", finish_reason=FinishReason.STOP, usage=Usage())


def test_of_several_ends_the_first_counts():
    for ends in ((LAST, CANCELLED), (CANCELLED, LAST), (LAST, GenerationError("late")), (CANCELLED, CANCELLED)):
        ticket = Ticket(None)
        for end in ends:
            ticket.end(end)
        assert ticket.delivery.get() is ends[0]
        assert ticket.delivery.empty()


def test_cancelling_ends_a_ticket_wherever_it_is():
    def had() -> Ticket:
        ticket, waiters = Ticket(None), Waiters()
        waiters.add(ticket)
        return ticket

    def taken() -> Ticket:
        ticket, waiters = Ticket(None), Waiters()
        waiters.add(ticket)
        assert waiters.take_all() == [ticket]
        return ticket

    for make in (lambda: Ticket(None), had, taken):
        ticket = make()
        ticket.cancel()
        ticket.cancel()
        assert ticket.delivery.get() is CANCELLED
        assert ticket.delivery.empty()


def test_a_ticket_that_is_cancelled_after_its_end_keeps_its_end():
    ticket = Ticket(None)
    ticket.end(LAST)
    ticket.cancel()
    assert ticket.stream().completion().text == "b"


def test_who_waits_is_taken_in_the_order_in_which_the_requests_came():
    tickets = [Ticket(None) for _ in range(4)]
    waiters = Waiters()
    for ticket in reversed(tickets):
        waiters.add(ticket)
    assert len(waiters) == 4
    assert waiters.take_all() == tickets
    assert len(waiters) == 0
    assert waiters.take_all() == []


@pytest.mark.parametrize("first", [True, False])
def test_who_is_cancelled_waits_no_more(first):
    ticket, waiters = Ticket(None), Waiters()
    if first:
        ticket.cancel()
    waiters.add(ticket)
    ticket.cancel()
    assert not waiters
    assert waiters.take_all() == []


def test_a_ticket_that_was_handed_on_is_withdrawn_from_whoever_has_it_now():
    ticket, before, now = Ticket(None), Waiters(), Waiters()
    before.add(ticket)
    before.take_all()
    now.add(ticket)
    ticket.cancel()
    assert not now


def test_a_reply_that_was_cancelled_says_so_each_time():
    reply = Ticket(None).reply()
    reply.cancel()
    for _ in range(2):
        with pytest.raises(GenerationError, match=r"^the request was cancelled$"):
            reply.result()

"""Streams of events: what starts with an error keeps its status, what fails later is told, who leaves cancels."""

import asyncio

import pytest
from starlette.requests import Request

from olpipe.errors import GenerationError
from olpipe.server.bodies.event_streams import DONE, begun, event, stream


class Items:
    """Items to come, and whether they were closed."""

    def __init__(self, *items):
        self.items, self.closed = items, False

    async def each(self):
        try:
            for item in self.items:
                if isinstance(item, Exception):
                    raise item
                yield item
                await asyncio.sleep(0)
        finally:
            self.closed = True


def request(*, gone=False):
    async def receive():
        if not gone:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    return Request({"type": "http", "method": "POST", "path": "/", "headers": []}, receive)


def written(item):
    if item == "fault":
        raise KeyError("nothing")
    return event(item) if item else b""


def body_of(*items):
    """Return the body of a stream of these items."""

    async def read():
        made = Items(*items)
        response = await stream(
            request(), made.each(), written, lambda: DONE, lambda error: event({"error": error.message})
        )
        return b"".join([part async for part in response.body_iterator]), made.closed

    body, closed = asyncio.run(read())
    assert closed
    return body.decode()


def test_an_event_may_have_a_name():
    assert event({"a": 1}) == b'data: {"a":1}\n\n'
    assert event({"a": 1}, "x") == b'event: x\ndata: {"a":1}\n\n'


def test_a_stream_has_all_items_and_an_end():
    assert body_of("one", "", "two") == 'data: "one"\n\ndata: "two"\n\ndata: [DONE]\n\n'


def test_an_error_before_the_first_item_is_raised():
    with pytest.raises(GenerationError, match="at once"):
        body_of(GenerationError("at once"))


def test_an_error_in_the_middle_is_the_last_event():
    assert body_of("one", GenerationError("too bad")) == 'data: "one"\n\ndata: {"error":"too bad"}\n\n'


def test_a_fault_of_our_own_is_told_too(caplog):
    assert (
        body_of("one", "fault", "two")
        == 'data: "one"\n\ndata: {"error":"olpipe has a fault: KeyError: \'nothing\'"}\n\n'
    )
    assert "a stream failed" in caplog.text


def test_who_leaves_early_closes_the_items():
    async def leave_after_one():
        made = Items("one", "two", "three")
        started = await begun(made.each())
        assert await anext(started) == "one"
        await started.aclose()
        return made.closed

    assert asyncio.run(leave_after_one())


def test_who_has_left_before_the_first_item_gets_nothing():
    async def endless():
        await asyncio.Event().wait()
        yield "never"

    response = asyncio.run(stream(request(gone=True), endless(), written, lambda: DONE, lambda error: b""))
    assert response.status_code == 499

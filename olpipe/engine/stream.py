"""Answers on their way: a stream of chunks with a completion at its end, and replies that come in one piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, Generic, Protocol, TypeVar, cast

from olpipe.errors import GenerationError, OlpipeError
from olpipe.generation import Chunk, Completion, FinishReason, Timings, Usage

T = TypeVar("T")


class Delivery(Protocol):
    """Where the engine's threads put chunks, another value, or an error."""

    def put(self, item: Any) -> None:
        """Take an item. This returns at once."""


class Mailbox(Protocol):
    """A delivery whose items the caller's thread takes out."""

    def put(self, item: Any) -> None:
        """Take an item. This returns at once."""

    def get(self) -> Any:
        """Wait for the next item, and return it."""


CANCELLED = Chunk(finish_reason=FinishReason.CANCELLED, usage=Usage(), timings=Timings())


class Visit:
    """What one client waits for in one thread. It is cancelled when the client leaves. Any thread may call it."""

    def __init__(self) -> None:
        self._reply: Reply[Any] | None = None
        self._left = False

    def waits_for(self, reply: Reply[Any]) -> None:
        """Note what the client waits for next. It is cancelled at once where the client has left already."""
        self._reply = reply
        if self._left:  # looked at after the reply is noted, and set before the reply is read: so one call cancels it
            reply.cancel()

    def leave(self) -> None:
        """Cancel what the client waits for."""
        self._left = True
        reply = self._reply
        if reply is not None:
            reply.cancel()


VISIT: ContextVar[Visit | None] = ContextVar("visit", default=None)
"""The visit of the thread that runs; None in threads that no client can leave."""


class Stream:
    """The answer to one request. One thread reads it; any thread may cancel it.

    Leaving the iteration early, or dropping the stream, cancels the request.
    """

    def __init__(self, delivery: Mailbox | None, cancel: Callable[[], None]) -> None:
        """Make a stream.

        Args:
            delivery: Where its items come from. None where the caller takes them and hands them to `took`.
            cancel: Ends the request. It must return at once and may be called twice.
        """
        self._delivery = delivery
        self._cancel = cancel
        self._chunks: list[Chunk] = []
        self._end: Completion | OlpipeError | None = None

    def __iter__(self) -> Iterator[Chunk]:
        """Yield the chunks that have not been yielded yet.

        Raises:
            OlpipeError: What went wrong while the model was fetched, built and loaded, or with this request.
        """
        try:
            while self._end is None:
                assert self._delivery is not None
                yield self.took(self._delivery.get())
        finally:
            self.cancel()

    def completion(self) -> Completion:
        """Wait for the end and return the whole answer, with the chunks that were yielded before.

        Raises:
            OlpipeError: As in the iteration.
        """
        for _ in self:
            pass
        if isinstance(self._end, OlpipeError):
            raise self._end
        assert self._end is not None
        return self._end

    def cancel(self) -> None:
        """End the answer here, with the finish reason `cancelled` unless it had already ended."""
        if self._end is None:
            self._cancel()

    def __del__(self) -> None:
        self.cancel()

    def took(self, item: Any) -> Chunk:
        """Note the next item of the stream, and return its chunk. Only who gave a delivery of their own calls this.

        Raises:
            OlpipeError: As in the iteration.
        """
        if isinstance(item, OlpipeError):
            self._end = item
            raise item
        self._chunks.append(item)
        if item.finish_reason is not None:
            self._end = Completion.of(self._chunks)
        return cast(Chunk, item)


class Reply(Generic[T]):
    """A reply in one piece: the vectors of some texts, or what a model that was loaded can do.

    One thread waits for it; any thread may cancel it. Dropping it cancels it.
    """

    def __init__(self, delivery: Mailbox, cancel: Callable[[], None]) -> None:
        """Make a reply of what is put into `delivery`; `cancel` must return at once and may be called twice."""
        self._delivery = delivery
        self._cancel = cancel
        self._result: T | OlpipeError | None = None

    def result(self) -> T:
        """Wait for the reply and return it. In the thread of a `Visit`, the wait ends when the client leaves.

        Raises:
            OlpipeError: What went wrong while the model was fetched, built and loaded, or with this request.
            GenerationError: It was cancelled.
        """
        if self._result is None:
            visit = VISIT.get()
            if visit is not None:
                visit.waits_for(self)
            item = self._delivery.get()
            self._result = GenerationError("the request was cancelled") if item is CANCELLED else item
        if isinstance(self._result, OlpipeError):
            raise self._result
        return cast(T, self._result)

    def cancel(self) -> None:
        """Give the reply up, unless it has come already."""
        if self._result is None:
            self._cancel()

    def __del__(self) -> None:
        self.cancel()

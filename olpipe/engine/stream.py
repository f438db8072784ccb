"""Answers on their way: a stream of chunks with a completion at its end, and replies that come in one piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any, Generic, TypeVar, cast

from olpipe.errors import GenerationError, OlpipeError
from olpipe.generation import Chunk, Completion, FinishReason, Timings, Usage

T = TypeVar("T")

Delivery = SimpleQueue[Any]
"""The engine's threads put in chunks, another value, or an error; the caller's thread takes them out."""

CANCELLED = Chunk(finish_reason=FinishReason.CANCELLED, usage=Usage(), timings=Timings())


class Stream:
    """The answer to one request. One thread reads it; any thread may cancel it.

    Leaving the iteration early, or dropping the stream, cancels the request.
    """

    def __init__(self, delivery: Delivery, cancel: Callable[[], None]) -> None:
        """Make a stream of what is put into `delivery`; `cancel` must return at once and may be called twice."""
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
                yield self._next()
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

    def _next(self) -> Chunk:
        item = self._delivery.get()
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

    def __init__(self, delivery: Delivery, cancel: Callable[[], None]) -> None:
        """Make a reply of what is put into `delivery`; `cancel` must return at once and may be called twice."""
        self._delivery = delivery
        self._cancel = cancel
        self._result: T | OlpipeError | None = None

    def result(self) -> T:
        """Wait for the reply and return it.

        Raises:
            OlpipeError: What went wrong while the model was fetched, built and loaded, or with this request.
            GenerationError: It was cancelled.
        """
        if self._result is None:
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

"""An answer on its way: chunks to iterate over, a completion at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from queue import SimpleQueue

from olpipe.errors import OlpipeError
from olpipe.generation import Chunk, Completion, FinishReason, Timings, Usage

Delivery = SimpleQueue[Chunk | OlpipeError]
"""What the engine's threads put in and the caller's thread takes out."""

CANCELLED = Chunk(finish_reason=FinishReason.CANCELLED, usage=Usage(), timings=Timings())


class Stream:
    """The answer to one request. Consumed by one thread; any thread may cancel it.

    Leaving the iteration early, or dropping the stream, cancels the request.
    """

    def __init__(self, delivery: Delivery, cancel: Callable[[], None]) -> None:
        """Make a stream of what is put into `delivery`; `cancel` must return at once and may be called twice."""
        self._delivery = delivery
        self._cancel = cancel
        self._chunks: list[Chunk] = []
        self._end: Completion | OlpipeError | None = None

    def __iter__(self) -> Iterator[Chunk]:
        """Yield what is left of the answer.

        Raises:
            OlpipeError: What the runner raised for this request, or `BackendCrashed`.
        """
        try:
            while self._end is None:
                yield self._next()
        finally:
            self.cancel()

    def completion(self) -> Completion:
        """Wait for the end and return the whole answer, what was iterated over included."""
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
            text = "".join(chunk.text for chunk in self._chunks)
            logprobs = tuple(chain.from_iterable(chunk.logprobs for chunk in self._chunks))
            self._end = Completion(text, item.finish_reason, item.usage or Usage(), item.timings or Timings(), logprobs)
        return item

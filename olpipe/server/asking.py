"""Ask a question from the event loop: the answer as chunks, or as a whole."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from olpipe.generation import Chunk, Completion
from olpipe.server.bridge import LoopDelivery, chunks, completion, in_thread
from olpipe.server.edge.watching import WatchedDelivery
from olpipe.server.question import Question
from olpipe.server.service import Asked, Service


@dataclass(frozen=True, slots=True)
class Answering:
    """An answer on its way.

    Attributes:
        asked: The request.
        delivery: Where its chunks arrive.
    """

    asked: Asked
    delivery: LoopDelivery

    async def chunks(self) -> AsyncIterator[Chunk]:
        """Yield the answer piece by piece, in the client's terms. Leaving early cancels the request.

        Raises:
            OlpipeError: What went wrong with the request.
        """
        if self.asked.flows:
            async for chunk in chunks(self.asked.stream, self.delivery):
                yield chunk
            return
        yield _as_chunk(await self.completion())

    async def completion(self) -> Completion:
        """Wait for the whole answer, in the client's terms. Cancelling this cancels the request.

        Raises:
            OlpipeError: What went wrong with the request.
        """
        return self.asked.heard(await completion(self.asked.stream, self.delivery))


async def answering(service: Service, question: Question, *, client: str = "") -> Answering:
    """Send a question to its model.

    Raises:
        OlpipeError: The question cannot be answered.
    """
    (question,) = await service.image_urls.with_images([question])
    delivery = WatchedDelivery(service.metrics, question.model)
    return Answering(await in_thread(service.ask, question, delivery, client=client), delivery)


def _as_chunk(whole: Completion) -> Chunk:
    return Chunk(
        whole.text,
        whole.thinking,
        whole.tool_calls,
        whole.finish_reason,
        whole.usage,
        whole.timings,
        whole.logprobs,
        whole.shown,
        whole.stopped_by,
    )

"""Several answers at a time, for one request of a client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from olpipe.generation import Chunk, SamplingParams
from olpipe.server.asking import Answering, answering
from olpipe.server.question import Question
from olpipe.server.service import Service


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers on their way. The model writes them side by side, as far as it has room.

    Attributes:
        each: The answers, in the order of the questions; at least one.
    """

    each: tuple[Answering, ...]

    @property
    def sampling(self) -> SamplingParams:
        """How the tokens of the first answer are picked."""
        return self.each[0].asked.request.sampling

    async def chunks(self) -> AsyncIterator[tuple[int, Chunk]]:
        """Yield the pieces of all answers as they come, each with the place of its answer. Leaving early cancels all.

        Raises:
            OlpipeError: What went wrong with one of the answers. The others are cancelled.
        """
        if len(self.each) == 1:
            async with aclosing(self.each[0].chunks()) as chunks:  # type: ignore[type-var]
                async for chunk in chunks:
                    yield 0, chunk
            return
        pieces: asyncio.Queue[tuple[int, Chunk | None]] = asyncio.Queue()
        tasks = [asyncio.ensure_future(_pump(at, answer, pieces)) for at, answer in enumerate(self.each)]
        try:
            left = len(tasks)
            while left:
                at, piece = await pieces.get()
                if piece is None:
                    await tasks[at]  # raises what went wrong
                    left -= 1
                else:
                    yield at, piece
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def whole(self) -> list[list[Chunk]]:
        """Wait for all answers, and return the pieces of each.

        Raises:
            OlpipeError: What went wrong with one of the answers. The others are cancelled.
        """
        found: list[list[Chunk]] = [[] for _ in self.each]
        async with aclosing(self.chunks()) as chunks:  # type: ignore[type-var]
            async for at, chunk in chunks:
                found[at].append(chunk)
        return found


async def asking(service: Service, questions: Sequence[Question], *, client: str = "") -> Answers:
    """Send questions to their model.

    Raises:
        OlpipeError: One of the questions cannot be answered. The others are cancelled.
    """
    with_images = await service.image_urls.with_images(questions)  # each image is fetched once
    tasks = [asyncio.ensure_future(answering(service, question, client=client)) for question in with_images]
    try:
        return Answers(tuple(await asyncio.gather(*tasks)))
    finally:
        for task in tasks:
            task.cancel()


async def _pump(at: int, answer: Answering, pieces: asyncio.Queue[tuple[int, Chunk | None]]) -> None:
    try:
        async for chunk in answer.chunks():
            pieces.put_nowait((at, chunk))
    finally:
        pieces.put_nowait((at, None))

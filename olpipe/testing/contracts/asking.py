"""What the contracts of backends share: fixtures, requests, and functions that use a runner as the engine does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from olpipe.errors import UsageError
from olpipe.generation import Chunk, Completion, GenerateRequest, Guidance, SamplingParams
from olpipe.interfaces import Backend, Prepared, Progress, ProgressCallback, Runner
from olpipe.messages import Message
from olpipe.model import LoadOptions, ModelBundle

MOST_STEPS = 5000
"""A runner that needs more steps for a few dozen tokens is taken to run for ever."""

PROMPTS = (
    "Tell me about the sea, please.",
    "What is a dog?",
    "Write a line about a street in the rain, and a second one about a cat.",
    "1 2 3 4 5",
)


def ignore(progress: Progress) -> None:
    """Do nothing with progress."""


class Cancelled(Exception):
    """Raised by a progress callback to cancel a long step."""


def cancelling_after(calls: int) -> ProgressCallback:
    """Return a progress callback that cancels after some calls."""
    left = iter(range(calls))

    def progress(_: Progress) -> None:
        if next(left, None) is None:
            raise Cancelled

    return progress


class ModelFixtures:
    """The fixtures of all contracts of backends.

    Attributes:
        prompt: Something to say to the model.
        draws: Whether answers at a temperature above 0 depend on chance. Only a backend without a model sets it False.
    """

    prompt: str = PROMPTS[0]
    draws: bool = True

    @pytest.fixture
    def backend(self) -> Backend:
        """Return the backend."""
        raise NotImplementedError

    @pytest.fixture
    def bundle(self) -> ModelBundle:
        """Return a model; the smaller the better."""
        raise NotImplementedError

    @pytest.fixture
    def runner(self, backend: Backend, bundle: ModelBundle) -> Iterator[Runner]:
        """Build and load the model."""
        runner = load(backend, bundle)
        yield runner
        runner.close()

    @pytest.fixture
    def writer(self, runner: Runner) -> Runner:
        """Return the runner where it writes answers."""
        if not runner.info.generates:
            pytest.skip("this runner writes no answers")
        return runner

    def request(
        self,
        text: str | None = None,
        *,
        guidance: Guidance | None = None,
        sampling: SamplingParams | None = None,
        max_tokens: int = 24,
    ) -> GenerateRequest:
        """Return a request, greedy unless `sampling` says otherwise."""
        message = Message.of("user", self.prompt if text is None else text)
        params = replace(sampling or SamplingParams(), max_tokens=max_tokens)
        return GenerateRequest("m", (message,), params, guidance)


def load(backend: Backend, bundle: ModelBundle, options: LoadOptions | None = None) -> Runner:
    """Build a model where that is needed, and load it."""
    backend.build(bundle, ignore)
    return backend.load(bundle, options or LoadOptions(threads=1))


def answer(runner: Runner, request: GenerateRequest) -> list[Chunk]:
    """Return all chunks of the answer to one request that runs alone."""
    return finish(runner, {1: runner.prepare(request)})[1]


def finish(runner: Runner, prepared: Mapping[int, Prepared]) -> dict[int, list[Chunk]]:
    """Start all sequences, step until each has ended, and return their chunks."""
    chunks: dict[int, list[Chunk]] = {}
    for sequence_id, one in prepared.items():
        runner.start(sequence_id, one)
        chunks[sequence_id] = []
    return go_on(runner, chunks)


def go_on(runner: Runner, chunks: dict[int, list[Chunk]], *, steps: int | None = None) -> dict[int, list[Chunk]]:
    """Step until all sequences have ended, or only `steps` times, and add their chunks to those that came before."""
    for _ in range(MOST_STEPS if steps is None else steps):
        running = {one for one, before in chunks.items() if not before or before[-1].finish_reason is None}
        if not running:
            return chunks
        for sequence_id, chunk in runner.step():
            assert sequence_id in running, f"a chunk came for {sequence_id}, which is not running"
            assert isinstance(chunk, Chunk), chunk
            chunks[sequence_id].append(chunk)
            if chunk.finish_reason is not None:
                running.remove(sequence_id)
    if steps is None:
        pytest.fail(f"after {MOST_STEPS} steps sequences were still running")
    return chunks


def completion(runner: Runner, request: GenerateRequest) -> Completion:
    """Return the whole answer to one request that runs alone."""
    return Completion.of(answer(runner, request))


def said(one: Completion) -> tuple[object, ...]:
    """Return what a model said, without times and numbers of tokens."""
    return one.text, one.thinking, one.tool_calls, one.finish_reason, one.logprobs


def tells_logprobs(runner: Runner, request: GenerateRequest) -> bool:
    """Say whether a runner reports how likely tokens were."""
    try:
        runner.prepare(replace(request, top_logprobs=0))
    except UsageError:
        return False
    return True


def heard(runner: Runner, request: GenerateRequest) -> tuple[object, ...]:
    """Return what differs when a model was told something else: its answer, with how likely its tokens were.

    Where a runner does not report how likely they were, the length of the prompt takes its place.
    """
    if tells_logprobs(runner, request):
        return said(completion(runner, replace(request, top_logprobs=3)))
    one = completion(runner, request)
    return (*said(one), one.usage.prompt_tokens)

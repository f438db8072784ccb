"""Make requests ready to be decoded: check the prompt's length, compile the grammar, choose how tokens are picked."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace

from olpipe.decoding.answer import Answer
from olpipe.decoding.constraint import Constraint
from olpipe.decoding.cutting import too_long
from olpipe.decoding.decoder import Decoder
from olpipe.decoding.logprobs import Scorer
from olpipe.decoding.names import Names
from olpipe.decoding.phases import PhasedSteps, Plan
from olpipe.decoding.planning import Planner
from olpipe.decoding.prompt import Prompt
from olpipe.decoding.reading import Markers
from olpipe.decoding.sampler import Sampler
from olpipe.decoding.steps import FreeSteps, GuidedSteps, Picker, Steps
from olpipe.decoding.vocabulary import Vocabulary
from olpipe.errors import UsageError
from olpipe.generation import GenerateRequest, Guidance, SamplingParams, Timings
from olpipe.guidance.grammar import Grammars
from olpipe.guidance.outline import Outline
from olpipe.guidance.schema import property_order, read_schema
from olpipe.guidance.splice import Splicer
from olpipe.interfaces import Prepared

SLACK = 64
"""Room in the KV cache beyond prompt and budget: forced tokens may begin within the budget and end behind it."""

AVOIDED = -1000.0
"""What is added to the logits of words to avoid. They still come where a grammar allows nothing else."""


@dataclass(frozen=True, slots=True)
class PreparedPrompt(Prepared):
    """A request as a prompt, with everything that its decoder needs.

    Attributes:
        prompt: The prompt to prefill.
        sampling: How tokens are picked.
        room: How many tokens of prompt and answer the KV cache must have room for.
        vocabulary: The model's tokens.
        constraint: What holds the answer to the format that was asked for; None for a free text.
        splicer: Puts known values in; None where there are none.
        scorer: Says how likely tokens were; None where the request does not ask for it.
        plan: What the answer consists of; None where it has a single part.
        timings: How long the preparation took.
    """

    prompt: Prompt
    sampling: SamplingParams
    room: int
    vocabulary: Vocabulary
    constraint: Constraint | None
    splicer: Splicer | None
    scorer: Scorer | None
    plan: Plan | None
    timings: Timings

    def decoder(self) -> Decoder:
        """Begin the answer. This may be called only once, because the answer changes the grammar's state."""
        sampling = self.sampling
        room = self.room - len(self.prompt)
        picker = Picker(Sampler(sampling), self.scorer)
        answer = Answer(
            self.vocabulary,
            prompt_tokens=self.prompt_tokens,
            prepared=self.timings,
            shown=tuple(image.shown for image in self.prompt.images if image.shown is not None),
            stop=() if self.constraint else sampling.stop,  # a stop text would cut a document in two
            splicer=self.splicer,
        )
        return Decoder(self._steps(picker, self.sampling.max_tokens, room), answer)

    def _steps(self, picker: Picker, max_tokens: int, room: int) -> Steps:
        if self.plan is not None:
            return PhasedSteps(self.vocabulary, picker, self.plan, max_tokens=max_tokens, room=room)
        if self.constraint is None:
            return FreeSteps(self.vocabulary, picker, min(max_tokens, room))
        return GuidedSteps(self.vocabulary, picker, self.constraint, max_tokens=max_tokens, room=room)


class Preparer:
    """Makes the requests of one model ready. One thread calls it, while another thread may decode."""

    def __init__(self, vocabulary: Vocabulary, *, context_length: int, markers: Markers | None = None) -> None:
        """Set up for one model.

        Args:
            vocabulary: Its tokens.
            context_length: Most tokens of prompt plus answer.
            markers: How it marks thinking and tool calls; None where it does neither.
        """
        self._vocabulary = vocabulary
        self._context_length = context_length
        self._grammars = Grammars(vocabulary.tokenizer)
        self._planner = Planner(vocabulary, markers or Markers(), self._grammars)

    def prepare(self, request: GenerateRequest, prompt: Prompt, *, started_ns: int) -> PreparedPrompt:
        """Prepare a request whose prompt is rendered.

        Args:
            request: The request.
            prompt: Its prompt.
            started_ns: When the preparation began, by `time.perf_counter_ns`.

        Raises:
            ContextExceeded: The prompt leaves no room for a single token.
            SchemaError: The guidance, or the parameters of a tool, cannot be enforced.
            UsageError: The prompt is empty, or the request asks for something that the model does not do.
        """
        # 1. There must be a prompt, and it must fit into the context with at least one token of the answer.
        if not len(prompt):
            raise UsageError("the prompt is empty", hint="write something that the answer can go on from")
        most = request.context_within(self._context_length)
        if len(prompt) >= most:
            raise too_long(request, len(prompt), most=most, held=self._context_length)
        # 2. The grammar, at its beginning, and the known values that are put in.
        constraint = splicer = None
        if request.guidance is not None:
            outline = Outline() if request.guidance.is_json else None
            names = Names() if self._grammars.makes_up_names(request.guidance) else None
            constraint = Constraint(self._grammars.matcher(request.guidance), self._vocabulary, outline, names)
            splicer = _splicer(request.guidance)
        # 3. What the answer consists of, and how tokens are picked.
        return PreparedPrompt(
            prompt_tokens=len(prompt),
            prompt=prompt,
            sampling=self._sampling(request),
            room=min(len(prompt) + request.sampling.max_tokens + SLACK, most),
            vocabulary=self._vocabulary,
            constraint=constraint,
            splicer=splicer,
            scorer=None if request.top_logprobs is None else Scorer(self._vocabulary, request.top_logprobs),
            plan=self._planner.plan(request, prompt.tokens, constraint),
            timings=Timings(prompt_ns=time.perf_counter_ns() - started_ns),
        )

    def _sampling(self, request: GenerateRequest) -> SamplingParams:
        """Return how a request's tokens are picked. Words to avoid and tokens that may not come become biases."""
        avoided = [(token, AVOIDED) for token in sorted(self._vocabulary.spellings(request.avoid))]
        avoided += [(token, -math.inf) for token in self._planner.banned(request)]
        if not avoided:
            return request.sampling
        return replace(request.sampling, logit_bias=(*request.sampling.logit_bias, *avoided))


def _splicer(guidance: Guidance) -> Splicer | None:
    if not guidance.constants:
        return None
    return Splicer(property_order(read_schema(guidance.source)), dict(guidance.constants))

"""Make requests ready to be decoded: check the prompt's length, compile the grammar, choose how tokens are picked."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from olpipe.decoding.answer import Answer
from olpipe.decoding.constraint import Constraint
from olpipe.decoding.decoder import Decoder
from olpipe.decoding.logprobs import Scorer
from olpipe.decoding.names import Names
from olpipe.decoding.prompt import Prompt
from olpipe.decoding.reading import AnswerReader, Markers
from olpipe.decoding.sampler import Sampler
from olpipe.decoding.steps import FreeSteps, GuidedSteps, Picker
from olpipe.decoding.vocabulary import Vocabulary
from olpipe.errors import ContextExceeded, UsageError
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

_TAIL_TOKENS = 16
"""How many tokens at a prompt's end are looked at to see whether the chat template has opened the thinking."""


@dataclass(frozen=True, slots=True)
class PreparedPrompt(Prepared):
    """A request as a prompt, with everything that its decoder needs.

    Attributes:
        prompt: The prompt to prefill.
        sampling: How tokens are picked.
        room: How many tokens of prompt and answer the KV cache must have room for.
        vocabulary: The model's tokens.
        constraint: The grammar's state; None for a free text.
        splicer: Puts known values in; None where there are none.
        scorer: Says how likely tokens were; None where the request does not ask for it.
        reader: Tells thinking and tool calls from text; None where all is text.
        visible: Special tokens that become text, because they mark parts of the answer for the reader.
        timings: How long the preparation took.
    """

    prompt: Prompt
    sampling: SamplingParams
    room: int
    vocabulary: Vocabulary
    constraint: Constraint | None
    splicer: Splicer | None
    scorer: Scorer | None
    reader: AnswerReader | None
    visible: Collection[int]
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
            visible=self.visible,
            splicer=self.splicer,
            reader=self.reader,
        )
        if self.constraint is None:
            return Decoder(FreeSteps(self.vocabulary, picker, min(sampling.max_tokens, room)), answer)
        steps = GuidedSteps(self.vocabulary, picker, self.constraint, max_tokens=sampling.max_tokens, room=room)
        return Decoder(steps, answer)


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
        self._markers = markers or Markers()
        self._visible = vocabulary.special_in(self._markers.texts)
        self._grammars = Grammars(vocabulary.tokenizer)

    def prepare(self, request: GenerateRequest, prompt: Prompt, *, started_ns: int) -> PreparedPrompt:
        """Prepare a request whose prompt is rendered.

        Args:
            request: The request.
            prompt: Its prompt.
            started_ns: When the preparation began, by `time.perf_counter_ns`.

        Raises:
            ContextExceeded: The prompt leaves no room for a single token.
            SchemaError: The guidance cannot be enforced.
            UsageError: The request asks for something that the model does not do.
        """
        # 1. The prompt and at least one token must fit into the context.
        if len(prompt) >= self._context_length:
            raise ContextExceeded(
                f"the prompt has {len(prompt)} tokens, and `{request.model}` holds {self._context_length}",
                hint="shorten the prompt, or raise OLLAMA_CONTEXT_LENGTH",
            )
        # 2. The grammar, at its beginning, and the known values that are put in.
        constraint = splicer = None
        if request.guidance is not None:
            outline = Outline() if request.guidance.is_json else None
            names = Names() if self._grammars.makes_up_names(request.guidance) else None
            constraint = Constraint(self._grammars.matcher(request.guidance), self._vocabulary, outline, names)
            splicer = _splicer(request.guidance)
        # 3. What reads thinking and tool calls, and how tokens are picked.
        reader = self._reader(request, prompt)
        return PreparedPrompt(
            prompt_tokens=len(prompt),
            prompt=prompt,
            sampling=self._sampling(request),
            room=min(len(prompt) + request.sampling.max_tokens + SLACK, self._context_length),
            vocabulary=self._vocabulary,
            constraint=constraint,
            splicer=splicer,
            scorer=None if request.top_logprobs is None else Scorer(self._vocabulary, request.top_logprobs),
            reader=reader,
            visible=self._visible if reader is not None else (),
            timings=Timings(prompt_ns=time.perf_counter_ns() - started_ns),
        )

    def _sampling(self, request: GenerateRequest) -> SamplingParams:
        """Return how a request's tokens are picked. Words to avoid become biases."""
        if not request.avoid:
            return request.sampling
        avoided = ((token, AVOIDED) for token in sorted(self._vocabulary.spellings(request.avoid)))
        return replace(request.sampling, logit_bias=(*request.sampling.logit_bias, *avoided))

    def _reader(self, request: GenerateRequest, prompt: Prompt) -> AnswerReader | None:
        """Return what reads thinking and tool calls; None where the whole answer is text.

        Raises:
            UsageError: The request asks for thinking or for tool calls in a way that the model does not support.
        """
        markers = self._markers
        thinks = request.think not in (None, "off")
        calls = bool(request.tools) and request.tool_choice.mode != "none"
        if thinks and markers.thinking is None:
            raise UsageError(f"`{request.model}` does not support thinking")
        if calls and markers.call is None:
            raise UsageError(f"`{request.model}` does not support tools")
        if calls and (request.tool_choice.mode != "auto" or request.tool_choice.name is not None):
            raise UsageError(f"`{request.model}` decides itself whether to call tools", hint="use the choice `auto`")
        if request.guidance is not None:
            if thinks or calls:
                asked = "think first" if thinks else "call tools"
                raise UsageError(f"an answer that follows a format cannot {asked}", hint="leave one of the two out")
            return None
        if not calls and markers.thinking is None:
            return None
        return AnswerReader(markers, calls=calls, thinking=self._has_opened_thinking(prompt.tokens))

    def _has_opened_thinking(self, tokens: Sequence[int]) -> bool:
        """Say whether a prompt ends with the marker that begins the thinking, so that the answer begins within it."""
        if self._markers.thinking is None:
            return False
        marker, tail = self._markers.thinking[0], tokens[-_TAIL_TOKENS:]
        token = self._vocabulary.token_of(marker)
        # A user may write the text of the marker. It is quoted, so it does not become the marker's token.
        if token is not None and token not in tail:
            return False
        text = self._vocabulary.bytes_of(tail, visible=self._visible)
        return text.decode(errors="replace").rstrip().endswith(marker)


def _splicer(guidance: Guidance) -> Splicer | None:
    if not guidance.constants:
        return None
    return Splicer(property_order(read_schema(guidance.source)), dict(guidance.constants))

"""One request to generate, and what comes back: chunks, then a completion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from olpipe.image import ShownImage
from olpipe.messages import Message, ToolCallPart

GuidanceKind = Literal["json", "json_schema", "regex", "lark"]
"""What an answer can be held to: any JSON object, a JSON Schema, a regular expression, or a Lark grammar."""

Thinking = Literal["off", "on", "low", "medium", "high", "max"]
"""Whether a model thinks before it answers, and how long. Most models know `off` and `on` only."""

MOST_TOP_LOGPROBS = 20
"""The most tokens that can be listed beside each token of an answer."""


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How tokens are picked.

    Attributes:
        temperature: 0 picks the most probable token (greedy).
        top_k: Keep the k most probable tokens; 0 keeps all.
        top_p: Keep the smallest set of tokens whose probabilities add up to this; 1 keeps all.
        min_p: Keep tokens whose probability is at least this share of the most probable token's; 0 keeps all.
        typical_p: Keep the tokens whose surprise is nearest to the expected surprise, until their probabilities
            add up to this (locally typical sampling); 1 keeps all.
        repeat_penalty: Positive logits of recent tokens are divided by this, negative ones multiplied; 1 changes
            nothing.
        presence_penalty: Subtract this from the logits of recent tokens.
        frequency_penalty: Subtract this from the logit of a recent token once for each time it was picked.
        penalty_window: How many of the last tokens are recent.
        logit_bias: (token id, what to add to its logit) pairs.
        seed: Makes a sampled text repeatable on one machine; None draws a new seed.
        stop: Texts that end generation; they are not part of the output.
        max_tokens: Most sampled plus forced tokens. A guided document may exceed this by the tokens of its
            shortest legal ending, never by more.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    typical_p: float = 1.0
    repeat_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    penalty_window: int = 64
    logit_bias: tuple[tuple[int, float], ...] = ()
    seed: int | None = None
    stop: tuple[str, ...] = ()
    max_tokens: int = 512


@dataclass(frozen=True, slots=True)
class Guidance:
    """What the generated text is held to.

    Attributes:
        kind: What `source` is.
        source: A JSON Schema as JSON text (its key order is the generation order), a regular
            expression or a Lark grammar; empty for plain `json`.
        constants: Top-level properties whose value is known, as (name, compact JSON text).
            They are put into the document and never generated.
    """

    kind: GuidanceKind
    source: str = ""
    constants: tuple[tuple[str, str], ...] = ()

    @property
    def is_json(self) -> bool:
        """Whether the text is a JSON document."""
        return self.kind in ("json", "json_schema")


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may ask for.

    Attributes:
        name: Its name.
        description: What it does and when to use it.
        parameters: JSON Schema of its arguments, as JSON text.
    """

    name: str
    description: str
    parameters: str


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Whether the model may, must or must not call tools.

    Attributes:
        mode: `auto` lets the model decide, `none` forbids calls, `required` asks for at least one call.
        name: The only tool that may be called; None allows all.
        parallel: Whether there may be several calls. If not, the answer ends with the first one.
    """

    mode: Literal["auto", "none", "required"] = "auto"
    name: str | None = None
    parallel: bool = True


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """Everything that a runner needs to know to answer.

    Attributes:
        model: The model's name.
        messages: The conversation, oldest first. The model answers the last message.
        sampling: How tokens are picked.
        guidance: What the output is held to. None leaves it free.
        tools: What the model may call.
        tool_choice: Whether it may, must or must not call them.
        think: Whether the model thinks before it answers. None leaves that to the model.
        raw: Whether the text of the messages goes to the model as it is, without a chat template.
        suffix: Text that comes after the answer: the model fills in what stands between the prompt and this text.
            None means that nothing comes after the answer.
        perceivers: Names of the perceivers whose evidence joins the request. None means those that the
            model's manifest names.
        language: The language of the values that evidence fills in, as a BCP 47 tag.
        avoid: Words that the model must not use; each form of a word is listed. A word is used all the same where a
            grammar leaves no other choice.
        top_logprobs: Report how likely each token was, with this many of the likeliest beside it, at most
            `MOST_TOP_LOGPROBS`. None reports nothing.
        context_length: Most tokens of prompt plus answer; 0 takes what the model was loaded with.
        truncate: Whether the oldest messages are left out where the prompt is too long. If not, such a prompt is an
            error.
        template: A chat template that takes the place of the model's own; empty where the model's own is used.
    """

    model: str
    messages: tuple[Message, ...]
    sampling: SamplingParams = field(default_factory=SamplingParams)
    guidance: Guidance | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = field(default_factory=ToolChoice)
    think: Thinking | None = None
    raw: bool = False
    suffix: str | None = None
    perceivers: tuple[str, ...] | None = None
    language: str = "en"
    avoid: tuple[str, ...] = ()
    top_logprobs: int | None = None
    context_length: int = 0
    truncate: bool = False
    template: str = ""

    def context_within(self, most: int) -> int:
        """Return most tokens of prompt plus answer, given how many the loaded model holds."""
        return min(self.context_length or most, most)


class FinishReason(StrEnum):
    """Why generation ended."""

    STOP = "stop"
    """The model ended its answer, a stop text was met, or the document was complete."""

    LENGTH = "length"
    """`max_tokens` or the context was used up. A guided document was closed so that it is complete and legal."""

    TOOL_CALLS = "tool_calls"
    """The model asks for tools, and waits for their results."""

    CANCELLED = "cancelled"
    """The caller no longer wants the rest."""


@dataclass(frozen=True, slots=True)
class Usage:
    """How many tokens there were of each kind.

    Attributes:
        prompt_tokens: Tokens of the prompt.
        sampled_tokens: Tokens that were picked from the model's logits; each cost a forward.
        forced_tokens: Tokens that the grammar left no choice about.
        spliced_tokens: Tokens of constants that were put into the document; the model never saw them.
        thinking_tokens: How many of the sampled and forced tokens were thinking.
        cut_messages: Messages that were left out because the prompt was too long.
        cut_tokens: Tokens that were left out because the prompt was too long.
    """

    prompt_tokens: int = 0
    sampled_tokens: int = 0
    forced_tokens: int = 0
    spliced_tokens: int = 0
    thinking_tokens: int = 0
    cut_messages: int = 0
    cut_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.sampled_tokens + other.sampled_tokens,
            self.forced_tokens + other.forced_tokens,
            self.spliced_tokens + other.spliced_tokens,
            self.thinking_tokens + other.thinking_tokens,
            self.cut_messages + other.cut_messages,
            self.cut_tokens + other.cut_tokens,
        )


@dataclass(frozen=True, slots=True)
class Timings:
    """Where a request's time went, in nanoseconds, and how many tokens were reused.

    None of this is part of a record: it depends on the machine and on what the runner did before.

    Attributes:
        load_ns: Waiting for the model to be fetched, built and loaded.
        queue_ns: Waiting for a free slot of the runner.
        fit_ns: Resizing the images of the prompt, and cutting them into patches.
        encode_ns: The vision encoder. It may look at the images of one request while others are answered.
        prompt_ns: Preparing and prefilling the prompt, without the two above.
        decode_ns: Everything after the prefill.
        reused_tokens: Tokens of the prompt that an earlier request had prefilled.
    """

    load_ns: int = 0
    queue_ns: int = 0
    fit_ns: int = 0
    encode_ns: int = 0
    prompt_ns: int = 0
    decode_ns: int = 0
    reused_tokens: int = 0

    def __add__(self, other: Timings) -> Timings:
        return Timings(
            self.load_ns + other.load_ns,
            self.queue_ns + other.queue_ns,
            self.fit_ns + other.fit_ns,
            self.encode_ns + other.encode_ns,
            self.prompt_ns + other.prompt_ns,
            self.decode_ns + other.decode_ns,
            self.reused_tokens + other.reused_tokens,
        )


@dataclass(frozen=True, slots=True)
class Candidate:
    """A token that could have come at some place, and how likely it was there.

    Attributes:
        token: Its id.
        data: Its bytes, which need not be whole characters; empty for a special token.
        logprob: The natural logarithm of its probability.
    """

    token: int
    data: tuple[int, ...]
    logprob: float


@dataclass(frozen=True, slots=True)
class TokenLogprobs:
    """One token of an answer, and how likely it was: for the model alone, and for the model under the grammar.

    The *raw* distribution is the softmax of the model's logits. The *constrained* distribution covers only the tokens
    that the grammar allowed at that place: their raw probabilities, divided by their sum. Without a grammar the two
    are equal. Temperature, truncation, penalties and biases count in neither of them.

    Attributes:
        token: Its id.
        data: Its bytes, which need not be whole characters.
        raw: Natural logarithm of the raw probability. None for a token that was not sampled, because the model
            was not asked for it.
        constrained: Natural logarithm of the constrained probability. 0 for a forced token. None for a token that
            was put in to end a text over `max_tokens`, or to end a string that repeats itself.
        top_raw: The likeliest tokens of the raw distribution, the likeliest first.
        top_constrained: The likeliest tokens of the constrained distribution; fewer where fewer are allowed.
    """

    token: int
    data: tuple[int, ...]
    raw: float | None = None
    constrained: float | None = None
    top_raw: tuple[Candidate, ...] = ()
    top_constrained: tuple[Candidate, ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a stream.

    Attributes:
        text: Text of the answer that can be shown now; always complete UTF-8.
        thinking: Text of what the model thinks before it answers; always complete UTF-8.
        tool_calls: Calls that the model asks for, each whole.
        finish_reason: Set on the last chunk only.
        usage: Set on the last chunk only.
        timings: Set on the last chunk only.
        logprobs: Those of the tokens since the last chunk, where they were asked for. The text of these tokens may
            come in a later chunk.
        shown: The images of the prompt in their order, as the model saw them. Set on the last chunk only.
        stopped_by: The stop text that ended the answer; empty where none did. Set on the last chunk only.
    """

    text: str = ""
    thinking: str = ""
    tool_calls: tuple[ToolCallPart, ...] = ()
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    timings: Timings | None = None
    logprobs: tuple[TokenLogprobs, ...] = ()
    shown: tuple[ShownImage, ...] = ()
    stopped_by: str = ""


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer: all chunks of a stream, joined.

    Attributes:
        text: The answer's text.
        finish_reason: Why it ended.
        usage: How many tokens there were of each kind.
        timings: Where the time went.
        logprobs: One for each sampled or forced token, those of a stop text included, where they were asked for.
        thinking: What the model thought before it answered.
        tool_calls: Calls that the model asks for, in order.
        shown: The images of the prompt in their order, as the model saw them.
        stopped_by: The stop text that ended the answer; empty where none did.
    """

    text: str
    finish_reason: FinishReason
    usage: Usage
    timings: Timings
    logprobs: tuple[TokenLogprobs, ...] = ()
    thinking: str = ""
    tool_calls: tuple[ToolCallPart, ...] = ()
    shown: tuple[ShownImage, ...] = ()
    stopped_by: str = ""

    @classmethod
    def of(cls, chunks: Sequence[Chunk]) -> Completion:
        """Join the chunks of a stream; the last of them has a finish reason."""
        last = chunks[-1]
        if last.finish_reason is None:
            raise ValueError("the stream has not ended")
        return cls(
            "".join(chunk.text for chunk in chunks),
            last.finish_reason,
            last.usage or Usage(),
            last.timings or Timings(),
            tuple(logprobs for chunk in chunks for logprobs in chunk.logprobs),
            "".join(chunk.thinking for chunk in chunks),
            tuple(call for chunk in chunks for call in chunk.tool_calls),
            last.shown,
            last.stopped_by,
        )

    @property
    def truncated(self) -> bool:
        """Whether `max_tokens` or the context ended the text before the model did."""
        return self.finish_reason is FinishReason.LENGTH

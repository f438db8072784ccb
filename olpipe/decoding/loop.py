"""The decode loop: sampled and forced tokens together in one forward, always closed legally.

The loop only ever appends. A step picks one token, takes what the grammar then forces, and runs both
through the model at once; a document that the grammar completes, or that the budget ends, never runs
its last tokens through the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from olpipe.decoding.closing import leave_string, shortest_ending
from olpipe.decoding.constraint import Constraint
from olpipe.decoding.logits_model import Logits, LogitsModel
from olpipe.decoding.logprobs import Likelihoods, Scorer
from olpipe.decoding.repetition import Repetition
from olpipe.decoding.sampler import Sampler
from olpipe.decoding.vocabulary import Vocabulary
from olpipe.errors import ContextExceeded, GenerationError
from olpipe.generation import FinishReason, TokenLogprobs

# How far before the budget's end, beyond the last known ending, the loop starts to look for a new one.
ENDING_MARGIN = 16


@dataclass(frozen=True, slots=True)
class Run:
    """Tokens of one step.

    Attributes:
        tokens: The sampled token, if there was one, then the forced ones.
        sampled: How many of them the model picked: 0 or 1.
        finish_reason: Set on the last run only.
        logprobs: One for each token where somebody asked, else none.
    """

    tokens: tuple[int, ...]
    sampled: int
    finish_reason: FinishReason | None = None
    logprobs: tuple[TokenLogprobs, ...] = ()

    @property
    def forced(self) -> int:
        """How many of the tokens the grammar left no choice about."""
        return len(self.tokens) - self.sampled


@dataclass(slots=True)
class _Step:
    """Tokens taken since the last forward, and what there is to say about them."""

    scorer: Scorer | None
    tokens: list[int] = field(default_factory=list)
    sampled: int = 0
    logprobs: list[TokenLogprobs] = field(default_factory=list)

    def sample(self, token: int, likelihoods: Likelihoods | None) -> None:
        """Add the token that was picked."""
        self.tokens.append(token)
        self.sampled += 1
        if self.scorer is not None and likelihoods is not None:
            self.logprobs.append(self.scorer.sampled(token, likelihoods))

    def force(self, tokens: Sequence[int]) -> None:
        """Add tokens that the grammar left no choice about."""
        self.tokens += tokens
        if self.scorer is not None:
            self.logprobs += self.scorer.forced(tokens)

    def put_in(self, tokens: Sequence[int]) -> None:
        """Add tokens that end what would go on otherwise."""
        self.tokens += tokens
        if self.scorer is not None:
            self.logprobs += self.scorer.put_in(tokens)

    def run(self, finish_reason: FinishReason | None = None) -> Run:
        """Return all that was added."""
        return Run(tuple(self.tokens), self.sampled, finish_reason, tuple(self.logprobs))


@dataclass(frozen=True, slots=True)
class _Picker:
    """Begins steps, and says how likely what they hold was, where somebody asked."""

    sampler: Sampler
    scorer: Scorer | None

    def nothing(self) -> _Step:
        """Begin a step without a token of the model's."""
        return _Step(self.scorer)

    def pick(self, logits: Logits, constraint: Constraint | None) -> _Step:
        """Begin a step with the token that the sampler picks; the constraint is not changed."""
        likelihoods = self.scorer.read(logits, constraint) if self.scorer is not None else None
        step = self.nothing()
        step.sample(self.sampler.pick(logits, constraint), likelihoods)
        return step


@dataclass(slots=True)
class _Budget:
    """What is left of a guided text's budget, and what an ending costs.

    `reserve` is the length of the last ending found: looking for one costs more than a token, so the
    loop looks again only when the budget comes within reach of it. `way_back` is the ending that fitted
    one step ago, if one was looked for then.
    """

    limit: int
    used: int = 0
    reserve: int = 0
    way_back: list[int] | None = None

    def ending(self, constraint: Constraint, vocabulary: Vocabulary) -> tuple[list[int], bool] | None:
        """Return the ending to take now, or None while there is room to go on.

        With it comes whether it stands in place of the tokens just taken: after some, as those that begin
        a long object, no ending fits any more, while one did before.
        """
        way_back, self.way_back = self.way_back, None
        if self.used + self.reserve + ENDING_MARGIN < self.limit:
            return None
        ending = shortest_ending(constraint, vocabulary)
        if way_back is not None and (ending is None or self.used + len(ending) > self.limit):
            return way_back, True
        if ending is None:
            return None
        self.reserve = len(ending)
        self.way_back = ending
        return (ending, False) if self.used + len(ending) >= self.limit else None


def decode(
    model: LogitsModel,
    prompt: Sequence[int],
    *,
    vocabulary: Vocabulary,
    sampler: Sampler,
    max_tokens: int,
    constraint: Constraint | None = None,
    scorer: Scorer | None = None,
) -> Iterator[Run]:
    """Prefill the prompt and yield runs of tokens; the last run carries the finish reason.

    Closing the generator ends the sequence.

    Args:
        model: An empty sequence.
        prompt: Token ids; at least one.
        vocabulary: The model's tokens.
        sampler: Picks tokens.
        max_tokens: Budget of sampled plus forced tokens; the context may allow fewer.
        constraint: What the text is held to.
        scorer: Says how likely the tokens were, where somebody asked.

    Raises:
        ContextExceeded: The prompt leaves no room for a single token.
    """
    room = model.limits.max_length - len(prompt)
    if room < 1:
        raise ContextExceeded(
            f"the prompt has {len(prompt)} tokens, and the model holds {model.limits.max_length}",
            hint="shorten the prompt, or raise OLLAMA_CONTEXT_LENGTH",
        )
    picker = _Picker(sampler, scorer)
    if constraint is None:
        return _decode_free(model, prompt, vocabulary, picker, min(max_tokens, room))
    return _decode_guided(model, prompt, vocabulary, picker, _Budget(min(max_tokens, room)), constraint)


def _decode_free(
    model: LogitsModel, prompt: Sequence[int], vocabulary: Vocabulary, picker: _Picker, limit: int
) -> Iterator[Run]:
    model.append(prompt)
    for used in range(1, limit + 1):
        step = picker.pick(model.logits(), None)
        if step.tokens[0] in vocabulary.end_tokens:
            yield Run((), 0, FinishReason.STOP)
            return
        yield step.run(FinishReason.LENGTH if used == limit else None)
        if used < limit:
            model.append(step.tokens)


def _decode_guided(
    model: LogitsModel,
    prompt: Sequence[int],
    vocabulary: Vocabulary,
    picker: _Picker,
    budget: _Budget,
    constraint: Constraint,
) -> Iterator[Run]:
    room = model.limits.max_length - len(prompt)
    opening = shortest_ending(constraint, vocabulary)
    budget.reserve = len(opening or ())
    budget.way_back = opening
    step = picker.nothing()
    step.force(constraint.take_forced())
    unseen: list[int] = list(prompt)
    repetition = Repetition()
    while True:
        budget.used += len(step.tokens)
        if constraint.complete:
            yield step.run(FinishReason.STOP)
            return
        ending = budget.ending(constraint, vocabulary)
        if ending is None and budget.used >= room:
            raise GenerationError("the context ended before the document could", hint="raise OLLAMA_CONTEXT_LENGTH")
        if ending is not None:
            closing, instead = ending
            step = picker.nothing() if instead else step
            step.put_in(closing)
            yield step.run(FinishReason.LENGTH)
            return
        yield step.run()
        model.append([*unseen, *step.tokens])
        unseen = []
        step = picker.pick(model.logits(), constraint)
        (token,) = step.tokens
        constraint.consume(token)
        if token in vocabulary.end_tokens:
            yield Run((), 0, FinishReason.STOP)
            return
        if constraint.in_string and repetition.loops(token, constraint.strings):
            step.put_in(leave_string(constraint, vocabulary))
        step.force(constraint.take_forced())

"""Which tokens come next in one answer: picked ones, forced ones, and those that close a document in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from olpipe.decoding.closing import leave_string, shortest_ending
from olpipe.decoding.constraint import Constraint
from olpipe.decoding.logprobs import Likelihoods, Scorer
from olpipe.decoding.model_sequence import Logits
from olpipe.decoding.repetition import Repetition
from olpipe.decoding.sampler import Sampler
from olpipe.decoding.vocabulary import Vocabulary
from olpipe.errors import GenerationError
from olpipe.generation import FinishReason, TokenLogprobs

ENDING_MARGIN = 16
"""How many tokens before the budget's end, beyond the last known ending, a new ending is looked for."""


@dataclass(slots=True)
class Step:
    """Tokens taken since the last forward.

    Attributes:
        scorer: Says how likely the tokens were, where somebody asked.
        tokens: The sampled token, if there is one, then the forced ones.
        sampled: How many of the tokens the model picked: 0 or 1.
        finish_reason: Set on the last step only.
        logprobs: One for each token where somebody asked, else none.
    """

    scorer: Scorer | None
    tokens: list[int] = field(default_factory=list)
    sampled: int = 0
    finish_reason: FinishReason | None = None
    logprobs: list[TokenLogprobs] = field(default_factory=list)

    @property
    def forced(self) -> int:
        """How many of the tokens the grammar left no choice about."""
        return len(self.tokens) - self.sampled

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

    def ended(self, reason: FinishReason) -> Step:
        """Make this the last step."""
        self.finish_reason = reason
        return self


class Steps(Protocol):
    """The steps of one answer: `begin` once, then `next` with the logits behind each step's tokens."""

    def begin(self) -> Step:
        """Return what the answer begins with whatever the model says; often nothing."""

    def next(self, logits: Logits) -> Step:
        """Return the next step; the logits may be overwritten."""


@dataclass(frozen=True, slots=True)
class Picker:
    """Begins steps with the sampler's picks.

    Attributes:
        sampler: Picks tokens.
        scorer: Says how likely the tokens were, where somebody asked.
    """

    sampler: Sampler
    scorer: Scorer | None

    def nothing(self) -> Step:
        """Begin a step without a token of the model's."""
        return Step(self.scorer)

    def pick(self, logits: Logits, constraint: Constraint | None) -> Step:
        """Begin a step with the token that the sampler picks; the constraint is not changed."""
        likelihoods = self.scorer.read(logits, constraint) if self.scorer is not None else None
        step = self.nothing()
        step.sample(self.sampler.pick(logits, constraint), likelihoods)
        return step


class FreeSteps:
    """The steps of a text that nothing is asked of."""

    def __init__(self, vocabulary: Vocabulary, picker: Picker, limit: int) -> None:
        """Set up for a text of at most `limit` tokens."""
        self._ends = vocabulary.end_tokens
        self._picker = picker
        self._left = limit

    def begin(self) -> Step:
        """Return nothing; the text ends here where its budget is nothing."""
        step = self._picker.nothing()
        return step if self._left > 0 else step.ended(FinishReason.LENGTH)

    def next(self, logits: Logits) -> Step:
        """Pick a token."""
        step = self._picker.pick(logits, None)
        self._left -= 1
        if step.tokens[0] in self._ends:
            return self._picker.nothing().ended(FinishReason.STOP)
        return step if self._left else step.ended(FinishReason.LENGTH)


@dataclass(slots=True)
class _Budget:
    """What is left of a guided text's budget, and what an ending costs.

    Attributes:
        limit: Most tokens.
        used: Tokens so far.
        reserve: The length of the last ending that was found. Looking for an ending costs more than a token, so it is
            looked for again only when the budget's end comes within reach of the last one.
        way_back: The ending that fitted one step ago, if one was looked for then.
    """

    limit: int
    used: int = 0
    reserve: int = 0
    way_back: list[int] | None = None

    def ending(self, constraint: Constraint, vocabulary: Vocabulary) -> tuple[list[int], bool] | None:
        """Return the ending to take now, or None while there is room to go on.

        The second value says whether the ending replaces the tokens just taken. That is so where no ending fits behind
        them (they begin a long object, say), while one fitted before them.
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


class GuidedSteps:
    """The steps of a text that a grammar holds.

    A step picks one token and takes what the grammar then forces, so that both ride in one forward. A document
    that the grammar completes, or that the budget ends, never runs its last tokens through the model.
    """

    def __init__(
        self, vocabulary: Vocabulary, picker: Picker, constraint: Constraint, *, max_tokens: int, room: int
    ) -> None:
        """Set up for one text.

        Args:
            vocabulary: The model's tokens.
            picker: Picks tokens.
            constraint: What the text is held to.
            max_tokens: Budget of sampled plus forced tokens. Its shortest legal ending may pass it.
            room: Tokens that the KV cache has room for behind the prompt.
        """
        self._vocabulary = vocabulary
        self._picker = picker
        self._constraint = constraint
        self._room = room
        opening = shortest_ending(constraint, vocabulary)
        self._budget = _Budget(min(max_tokens, room), reserve=len(opening or ()), way_back=opening)
        self._repetition = Repetition()

    def begin(self) -> Step:
        """Return the tokens that every text under the grammar begins with."""
        step = self._picker.nothing()
        step.force(self._constraint.take_forced())
        return self._settle(step)

    def next(self, logits: Logits) -> Step:
        """Pick a legal token, and take what it forces."""
        constraint = self._constraint
        # 1. The model's token. One that ends the answer is no part of it.
        step = self._picker.pick(logits, constraint)
        (token,) = step.tokens
        constraint.consume(token)
        if token in self._vocabulary.end_tokens:
            return self._picker.nothing().ended(FinishReason.STOP)
        # 2. Leave a string that goes round in circles.
        if constraint.in_string and self._repetition.loops(token, constraint.strings):
            step.put_in(leave_string(constraint, self._vocabulary))
        # 3. What the grammar leaves no choice about.
        step.force(constraint.take_forced())
        return self._settle(step)

    def _settle(self, step: Step) -> Step:
        """End the text if it is whole, or if the budget asks for its ending now."""
        self._budget.used += len(step.tokens)
        if self._constraint.complete:
            return step.ended(FinishReason.STOP)
        ending = self._budget.ending(self._constraint, self._vocabulary)
        if ending is not None:
            closing, instead = ending
            step = self._picker.nothing() if instead else step
            step.put_in(closing)
            return step.ended(FinishReason.LENGTH)
        if self._budget.used >= self._room:
            raise GenerationError("the context ended before the document could", hint="raise OLLAMA_CONTEXT_LENGTH")
        return step

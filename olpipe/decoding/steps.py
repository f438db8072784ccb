"""Decide which tokens come next in an answer: picked ones, forced ones, and those that close a document in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from olpipe.decoding.closing import leave_string, shortest_ending
from olpipe.decoding.constraint import Constraint, TokenRule
from olpipe.decoding.logprobs import Likelihoods, Scorer
from olpipe.decoding.model_sequence import Logits
from olpipe.decoding.reading import Pieces
from olpipe.decoding.repetition import Repetition
from olpipe.decoding.sampler import Sampler
from olpipe.decoding.vocabulary import Vocabulary
from olpipe.errors import ContextExceeded
from olpipe.generation import FinishReason, TokenLogprobs

ENDING_MARGIN = 16
"""A new ending is looked for when the budget has no more than this many tokens beyond the last known ending."""

LONGEST_WAIT = 64
"""After searches that found no ending, the next search comes at most so many tokens later."""


@dataclass(slots=True)
class Step:
    """The tokens that are taken after one forward.

    Attributes:
        scorer: Says how likely the tokens were; None where the request does not ask for it.
        tokens: The sampled token, if there is one, then all other tokens.
        sampled: How many of the tokens were sampled: 0 or 1.
        thinking: How many of the tokens are thinking, the marker at its end included.
        finish_reason: Why the answer ends here; None before the last step.
        logprobs: One for each token where the request asks for it, else none.
        pieces: What the tokens made known of an answer that has several parts; None where an answer is all text, and
            whoever takes the step turns the tokens into text.
    """

    scorer: Scorer | None
    tokens: list[int] = field(default_factory=list)
    sampled: int = 0
    thinking: int = 0
    finish_reason: FinishReason | None = None
    logprobs: list[TokenLogprobs] = field(default_factory=list)
    pieces: Pieces | None = None

    @property
    def forced(self) -> int:
        """How many of the tokens were not sampled."""
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
        """Add tokens that end a string or a text, although the model would go on."""
        self.tokens += tokens
        if self.scorer is not None:
            self.logprobs += self.scorer.put_in(tokens)

    def ended(self, reason: FinishReason) -> Step:
        """Make this the last step."""
        self.finish_reason = reason
        return self


class Steps(Protocol):
    """The steps of one answer. `begin` is called once, then `next` with the logits after each step's tokens."""

    def begin(self) -> Step:
        """Return what every answer to the request begins with; often nothing."""

    def next(self, logits: Logits) -> Step:
        """Return the next step. The logits, (vocab_size,) float32, may be overwritten."""


@dataclass(frozen=True, slots=True)
class Picker:
    """Makes steps, and puts the sampler's tokens into them.

    Attributes:
        sampler: Picks tokens.
        scorer: Says how likely the tokens were; None where the request does not ask for it.
    """

    sampler: Sampler
    scorer: Scorer | None

    def nothing(self) -> Step:
        """Make a step without a token."""
        return Step(self.scorer)

    def pick(self, logits: Logits, constraint: TokenRule | None) -> Step:
        """Make a step with the token that the sampler picks. The constraint is not changed."""
        likelihoods = self.scorer.read(logits, constraint) if self.scorer is not None else None
        step = self.nothing()
        step.sample(self.sampler.pick(logits, constraint), likelihoods)
        return step


class FreeSteps:
    """The steps of a text without a grammar."""

    def __init__(self, vocabulary: Vocabulary, picker: Picker, limit: int) -> None:
        """Set up for a text of at most `limit` tokens."""
        self._ends = vocabulary.end_tokens
        self._picker = picker
        self._left = limit

    def begin(self) -> Step:
        """Return a step without tokens. It is the last one where the budget is 0."""
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
    """The budget of a guided text, and the ending that must fit into it.

    Attributes:
        limit: Most tokens.
        used: How many tokens were taken so far.
        reserve: The length of the last ending that was found. To look for an ending costs more than a token. So it is
            done again only when the last known ending, with a margin, would reach the end of the budget.
        way_back: The ending that was found one step ago; None where none was looked for.
        failures: How many searches in a row found no ending.
        again_at: How many tokens there must be before the next search.
    """

    limit: int
    used: int = 0
    reserve: int = 0
    way_back: list[int] | None = None
    failures: int = 0
    again_at: int = 0

    def ending(self, constraint: Constraint, vocabulary: Vocabulary) -> tuple[list[int], bool] | None:
        """Return the ending to take now, or None while there is room to go on.

        The second value says whether the ending replaces the tokens of the present step. It does so where an ending
        fitted before these tokens, and none fits behind them: they may begin a long object, for example.
        """
        # 1. While the end of the budget is far away, no ending is looked for.
        way_back, self.way_back = self.way_back, None
        if self.used + self.reserve + ENDING_MARGIN < self.limit or self.used < self.again_at:
            return None
        # 2. Behind the tokens of this step no ending fits, but before them one did.
        ending = shortest_ending(constraint, vocabulary)
        if way_back is not None and (ending is None or self.used + len(ending) > self.limit):
            return way_back, True
        if ending is None:  # such a search costs most: it is repeated less and less often
            self.failures += 1
            self.again_at = self.used + min(1 << self.failures, LONGEST_WAIT)
            return None
        self.failures = 0
        # 3. The text ends now where its ending would use up the whole budget, else it may go on.
        self.reserve = len(ending)
        self.way_back = ending
        return (ending, False) if self.used + len(ending) >= self.limit else None


class GuidedSteps:
    """The steps of a text that is held to a grammar.

    With `closes`, it is complete and legal even where the budget ends it. Without it, the budget may cut it.

    A step has one picked token and all tokens that the grammar forces after it, so that one forward runs them all. When
    the grammar completes the text, or the budget ends it, the last tokens never run through the model.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        picker: Picker,
        constraint: Constraint,
        *,
        max_tokens: int,
        room: int,
        closes: bool = True,
    ) -> None:
        """Set up for one text.

        Args:
            vocabulary: The model's tokens.
            picker: Picks tokens.
            constraint: The grammar, at the beginning of the text.
            max_tokens: The budget of sampled and forced tokens. Only the shortest legal ending may pass it.
            room: How many tokens the KV cache has room for behind the prompt.
            closes: Whether a text that the budget ends is closed legally.
        """
        self._vocabulary = vocabulary
        self._picker = picker
        self._constraint = constraint
        self._room = room
        self._closes = closes
        opening = shortest_ending(constraint, vocabulary) if closes else None
        self._budget = _Budget(min(max_tokens, room), reserve=len(opening or ()), way_back=opening)
        self._repetition = Repetition()

    def begin(self) -> Step:
        """Return the tokens that every text under the grammar begins with."""
        step = self._picker.nothing()
        step.force(self._constraint.take_forced())
        return self._settle(step)

    def next(self, logits: Logits) -> Step:
        """Pick a legal token, and take what it forces."""
        return self.take(self._picker.pick(logits, self._constraint))

    def take(self, step: Step) -> Step:
        """Take a token that was picked already and is legal, and return the step with what it forces."""
        constraint = self._constraint
        # 1. The picked token. A token that ends the answer is not part of the answer.
        (token,) = step.tokens
        constraint.consume(token)
        if token in self._vocabulary.end_tokens:
            return self._picker.nothing().ended(FinishReason.STOP)
        # 2. A string that repeats itself is closed.
        if constraint.in_string and self._repetition.loops(token, constraint.strings):
            step.put_in(leave_string(constraint, self._vocabulary))
        # 3. The tokens that the grammar leaves no choice about.
        step.force(constraint.take_forced())
        return self._settle(step)

    def _settle(self, step: Step) -> Step:
        """Make a step the last one if the text is complete, or if the budget asks for its ending now."""
        self._budget.used += len(step.tokens)
        if self._constraint.complete:
            return step.ended(FinishReason.STOP)
        if not self._closes:
            return step.ended(FinishReason.LENGTH) if self._budget.used >= self._budget.limit else step
        ending = self._budget.ending(self._constraint, self._vocabulary)
        if ending is not None:
            closing, instead = ending
            step = self._picker.nothing() if instead else step
            step.put_in(closing)
            return step.ended(FinishReason.LENGTH)
        if self._budget.used >= self._room:
            raise ContextExceeded(
                "the context is full, and the document is not complete", hint="raise OLLAMA_CONTEXT_LENGTH"
            )
        return step

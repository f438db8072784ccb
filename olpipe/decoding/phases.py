"""The steps of an answer that goes through several phases: thinking, free text, tool calls, a document.

Thinking and free text are free. A tool call is held to the grammar of its tools, and a document to the format that the
request asks for. The markers of the model lead from one phase to the next, or the budget does.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from olpipe.decoding.closing import shortest_ending
from olpipe.decoding.constraint import Constraint, OrToken
from olpipe.decoding.model_sequence import Logits
from olpipe.decoding.reading import AnswerReader, Markers, Pieces, ThinkingFormat
from olpipe.decoding.steps import GuidedSteps, Picker, Step
from olpipe.decoding.vocabulary import Vocabulary
from olpipe.generation import FinishReason

THINKING_SHARE = 0.75
"""The largest share of the budget that may be used up by thinking where something has to follow it."""

Thinks = Literal["itself", "never", "first"]
"""Whether an answer has thinking: the model decides, what the prompt has opened is closed, or it comes first."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What an answer consists of.

    Attributes:
        markers: How the model marks the parts.
        thinks: Whether it has thinking.
        opened: Whether the prompt has opened the thinking.
        document: The document that it has to be; None for a free text.
        calls: The tool calls that it may have, behind their marker; None for none.
        must_call: Whether it has to have a call.
        goes_on: Whether text and more calls may follow a section of calls.
    """

    markers: Markers
    thinks: Thinks = "itself"
    opened: bool = False
    document: Constraint | None = None
    calls: Constraint | None = None
    must_call: bool = False
    goes_on: bool = True

    @property
    def held(self) -> Constraint | None:
        """What holds the answer behind the thinking; None for a free text."""
        return self.calls if self.must_call else self.document

    @property
    def marker(self) -> str:
        """What begins a section of calls; empty where nothing but the JSON itself does."""
        return self.markers.call.marker if self.markers.call is not None else ""

    @property
    def calls_are_bare(self) -> bool:
        """Whether a free text that begins with `{` is a call."""
        return self.calls is not None and self.markers.call is not None and not self.markers.call.begin


class PhasedSteps:
    """The steps of one answer with several phases."""

    def __init__(self, vocabulary: Vocabulary, picker: Picker, plan: Plan, *, max_tokens: int, room: int) -> None:
        """Set up for one answer.

        Args:
            vocabulary: The model's tokens.
            picker: Picks tokens.
            plan: What the answer consists of.
            max_tokens: The budget of sampled and forced tokens. Only the shortest legal ending of a document may pass
                it.
            room: How many tokens the KV cache has room for behind the prompt.
        """
        self._vocabulary = vocabulary
        self._picker = picker
        self._plan = plan
        self._visible = vocabulary.special_in(plan.markers.texts)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._reader = AnswerReader(plan.markers, calls=plan.calls is not None, thinking=plan.opened)
        self._limit, self._room = min(max_tokens, room), room
        self._used = 0
        self._thinking_ends = 0  # after how many tokens the thinking is ended, where something has to follow it
        self._waits = plan.held is not None  # whether what is held to a grammar has not begun yet
        self._choice: OrToken | None = None  # what the first token behind the thinking must satisfy
        self._inner: GuidedSteps | None = None  # the steps of what is held to a grammar

    def begin(self) -> Step:
        """Return what the answer begins with: a marker, or what its grammar forces."""
        step = self._nothing()
        plan, thinking = self._plan, self._plan.markers.thinking
        if plan.held is not None and plan.thinks == "first" and thinking is not None:
            self._thinking_ends = self._most_thinking(plan.held, thinking)
        if self._thinking_ends > 0:
            if thinking is not None and not plan.opened:
                self._write(step, thinking.begin + thinking.after_begin)
        elif plan.thinks != "itself":
            if plan.opened and thinking is not None:
                self._write(step, thinking.end + thinking.after_end)
            self._hold(step)
        return self._settled(step)

    def next(self, logits: Logits) -> Step:
        """Pick a token, and take what follows from it."""
        step = self._nothing()
        if self._inner is not None:
            self._take(step, self._inner.next(logits))
        elif self._choice is not None:
            self._choose(step, self._picker.pick(logits, self._choice))
        else:
            self._go_on(step, self._picker.pick(logits, None))
        return self._settled(step)

    # --- free phases ----------------------------------------------------------------------------

    def _go_on(self, step: Step, picked: Step) -> None:
        """Take a picked token of thinking or of free text."""
        (token,) = picked.tokens
        # 1. A token that ends the answer. Where something has to follow the thinking, it ends the thinking only.
        if token in self._vocabulary.end_tokens:
            if self._waits:
                self._end_thinking(step)
            else:
                step.ended(FinishReason.STOP)
            return
        # 2. A token that begins a call without a marker.
        if self._plan.calls_are_bare and self._reader.would_begin_with("{", self._spelt(token)):
            self._start_calls(step, picked)
            return
        # 3. Any other token. Where it has more than the end of a marker that leads on, this end takes its place.
        text = self._text_of(picked.tokens)
        behind = self._behind_marker(text)
        if behind:
            self._write(step, text.removesuffix(behind), put_in=True)
        else:
            self._add(step, picked, text)
        # 4. What comes next.
        if behind is not None:
            self._lead_on(step)
        elif self._waits and self._used >= self._thinking_ends:
            self._end_thinking(step)

    def _behind_marker(self, text: str) -> str | None:
        """Return what a text has behind a marker where a grammar takes over; None where it completes no such marker."""
        found = self._reader.marker_in(text)
        if found is None:
            return None
        end, state = found
        return text[end:] if state == "call" or (state == "text" and self._waits) else None

    def _lead_on(self, step: Step) -> None:
        """Begin what a marker leads to: tool calls, or what has to follow the thinking."""
        if self._reader.state == "call":
            self._start_calls(step)
        else:
            thinking = self._plan.markers.thinking
            self._write(step, thinking.after_end if thinking is not None else "")
            self._hold(step)

    def _most_thinking(self, held: Constraint, thinking: ThinkingFormat) -> int:
        """Return after how many tokens the thinking has to end, so that what follows fits; 0 for no thinking."""
        marker = self._plan.marker if self._plan.must_call else ""
        shortest = shortest_ending(held, self._vocabulary) or ()
        behind = len(shortest) + self._length(thinking.end + thinking.after_end + marker)
        before = 0 if self._plan.opened else self._length(thinking.begin + thinking.after_begin)
        most = min(int(self._limit * THINKING_SHARE), self._limit - behind)
        return most if most > before else 0

    def _end_thinking(self, step: Step) -> None:
        """End the thinking, although the model did not."""
        thinking = self._plan.markers.thinking
        assert thinking is not None
        self._write(step, thinking.end + thinking.after_end, put_in=True)
        self._hold(step)

    # --- phases under a grammar -----------------------------------------------------------------

    def _hold(self, step: Step) -> None:
        """Begin what has to follow the thinking: a call, a document, or the choice between the two."""
        plan, self._waits = self._plan, False
        if plan.must_call:
            self._write(step, plan.markers.call.begin if plan.markers.call is not None else "")
            self._start_calls(step)
        elif plan.document is not None:
            if plan.calls is not None and self._has_choice(plan.document, plan.calls):
                self._choice = OrToken(plan.document, self._vocabulary.going_on(plan.marker)[0])
            else:
                self._start_document(step, plan.document)

    def _has_choice(self, document: Constraint, calls: Constraint) -> bool:
        """Say whether the budget has room for the shortest call, and for more than the shortest document."""
        shortest = len(shortest_ending(document, self._vocabulary) or ())
        call = self._length(self._plan.marker) + len(shortest_ending(calls, self._vocabulary) or ())
        return self._used + max(shortest + 1, call) <= self._limit

    def _choose(self, step: Step, picked: Step) -> None:
        """Begin a call or a document, as the first token says."""
        document, self._choice = self._plan.document, None
        assert document is not None
        marker = self._vocabulary.going_on(self._plan.marker)
        if picked.tokens != marker[:1] or document.allows(marker[0]):
            self._start_document(step, document, picked)
            return
        self._add(step, picked, self._text_of(picked.tokens))
        behind = self._picker.nothing()
        behind.force(marker[1:])
        self._add(step, behind, self._text_of(marker[1:]))
        self._start_calls(step)

    def _start_document(self, step: Step, document: Constraint, picked: Step | None = None) -> None:
        self._reader.enter("document")
        self._start(step, document, picked, closes=True)

    def _start_calls(self, step: Step, picked: Step | None = None) -> None:
        assert self._plan.calls is not None
        self._reader.enter("call")
        self._start(step, self._plan.calls.copy(), picked, closes=False)

    def _start(self, step: Step, constraint: Constraint, picked: Step | None, *, closes: bool) -> None:
        """Hold what comes next to a grammar. A picked token that the grammar does not allow is left out."""
        self._inner = GuidedSteps(
            self._vocabulary,
            self._picker,
            constraint,
            max_tokens=self._limit - self._used,
            room=self._room - self._used,
            closes=closes,
        )
        fits = picked is not None and constraint.allows(picked.tokens[0])
        self._take(step, self._inner.take(picked) if picked is not None and fits else self._inner.begin())

    # --- steps ----------------------------------------------------------------------------------

    def _nothing(self) -> Step:
        step = self._picker.nothing()
        step.pieces = Pieces()
        return step

    def _take(self, step: Step, inner: Step) -> None:
        """Add a step under a grammar."""
        self._add(step, inner, self._text_of(inner.tokens))
        step.finish_reason = inner.finish_reason

    def _add(self, step: Step, more: Step, text: str) -> None:
        """Add tokens whose text is known."""
        step.tokens += more.tokens
        step.sampled += more.sampled
        step.logprobs += more.logprobs
        step.thinking += len(more.tokens) if self._reader.state == "thinking" else 0
        self._used += len(more.tokens)
        self._read(step, text)

    def _write(self, step: Step, text: str, *, put_in: bool = False) -> None:
        """Add a text that is certain, or one that is put in. A character that is not complete is given up."""
        self._decoder.reset()
        tokens = self._vocabulary.going_on(text)
        more = self._picker.nothing()
        more.put_in(tokens) if put_in else more.force(tokens)
        self._add(step, more, text)

    def _settled(self, step: Step) -> Step:
        """Make a step the last one if the budget is used up, and go on behind a call."""
        if step.finish_reason is FinishReason.STOP and step.tokens and self._goes_on_behind_calls():
            step.finish_reason, self._inner = None, None
            self._reader.enter("text")
        free = self._inner is None and self._choice is None and not self._waits
        if step.finish_reason is None and free and self._used >= self._limit:
            step.ended(FinishReason.LENGTH)
        if step.finish_reason is not None:
            self._read(step, self._decoder.decode(b"", final=True))
            assert step.pieces is not None
            step.pieces.add(self._reader.finish())
        return step

    def _goes_on_behind_calls(self) -> bool:
        """Say whether text or more calls may follow a section of calls that is complete."""
        plan = self._plan
        return self._inner is not None and plan.goes_on and plan.held is None and not plan.calls_are_bare

    def _read(self, step: Step, text: str) -> None:
        assert step.pieces is not None
        step.pieces.add(self._reader.feed(text))

    def _text_of(self, tokens: Sequence[int]) -> str:
        """Return the text of the next tokens. In a document, special tokens give none."""
        visible = () if self._reader.state == "document" else self._visible
        return self._decoder.decode(self._vocabulary.bytes_of(tokens, visible=visible))

    def _spelt(self, token: int) -> str:
        return self._vocabulary.bytes_of((token,)).decode(errors="replace")

    def _length(self, text: str) -> int:
        return len(self._vocabulary.going_on(text))

"""Cut conversations that are too long for a model, and say what was cut.

The oldest messages are left out. System messages, the last question and the last message stay. A question is left out
together with its answers, and the result of a tool together with its call. Where what stays is still too long, its
longest text is cut at its beginning, so that the end of the text is kept.

A prompt that is cut leaves room for an answer: an eighth of the context, or less where the answer may not have so many
tokens. Messages are left out in portions of about an eighth of the context. So the next turns of a conversation begin
with the same messages as this one, and the model does not have to read them again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import TypeVar

from olpipe.decoding.prompt import Prompt
from olpipe.decoding.vocabulary import Vocabulary
from olpipe.errors import ContextExceeded
from olpipe.generation import GenerateRequest
from olpipe.interfaces import Prepared
from olpipe.messages import Message, Part, TextPart, ThinkingPart, ToolCallPart, ToolResultPart

SHARE = 8
"""One of so many parts of the context is left free for the answer."""

CHARACTERS = 8
"""A text with more than so many characters for each token of the context is not rendered before it is cut."""

_TRIES = 8  # how often a text is cut anew, because it still has too many tokens

Render = Callable[[GenerateRequest], Prompt]
"""Turns a request into a prompt.

Where `truncate` of the request is false, it may show images as small as need be to make the prompt fit."""

P = TypeVar("P", bound=Prepared)


@dataclass(frozen=True, slots=True, eq=False)
class CutPrompt:
    """A prompt that fits, as far as that was possible.

    Attributes:
        prompt: The prompt.
        cut_messages: How many messages were left out.
        cut_tokens: Tokens of these messages, and of the text that was cut. What the chat template writes around the
            messages does not count.
    """

    prompt: Prompt
    cut_messages: int = 0
    cut_tokens: int = 0

    def told(self, prepared: P) -> P:
        """Return a prepared request that says what was cut."""
        return replace(prepared, cut_messages=self.cut_messages, cut_tokens=self.cut_tokens)


def fitting_prompt(
    request: GenerateRequest, render: Render, vocabulary: Vocabulary, *, context_length: int
) -> CutPrompt:
    """Return the prompt of a request. It is cut where it is too long and the request allows that.

    A prompt that cannot be cut enough is returned as it is.

    Args:
        request: The request.
        render: Turns requests into prompts. Any error that it raises comes out of this function.
        vocabulary: The model's tokens.
        context_length: Most tokens of prompt plus answer of the loaded model.
    """
    if not request.truncate:
        return CutPrompt(render(request))
    most = request.context_within(context_length)
    room = most - max(1, min(request.sampling.max_tokens, most // SHARE))
    whole = None
    characters = sum(len(text) for message in request.messages for text in _texts(message))
    if characters <= CHARACTERS * most or any(message.images for message in request.messages):
        whole = render(request)
        if len(whole) <= room:
            return CutPrompt(whole)
    return _Cutter(request, render, vocabulary, room, whole).fitted(most)


def too_long(request: GenerateRequest, tokens: int, *, most: int, held: int) -> ContextExceeded:
    """Return the error for a prompt that does not fit.

    Args:
        request: The request.
        tokens: Tokens of the prompt.
        most: Most tokens of prompt plus answer.
        held: The same of the loaded model. The request may have asked for less.
    """
    holds = f"`{request.model}` holds {held}" if most == held else f"the request allows {most}"
    larger = "raise OLLAMA_CONTEXT_LENGTH" if most == held else "allow more"
    shorten = "it cannot be cut so far: shorten the system message, the tools or the images"
    hint = f"{shorten if request.truncate else 'shorten the prompt'}, or {larger}"
    return ContextExceeded(f"the prompt has {tokens} tokens, and {holds}", hint=hint)


class _Cutter:
    """Cuts one request."""

    def __init__(
        self, request: GenerateRequest, render: Render, vocabulary: Vocabulary, room: int, whole: Prompt | None
    ) -> None:
        """Count the tokens of each message.

        Args:
            request: The request.
            render: Turns requests into prompts.
            vocabulary: The model's tokens.
            room: Most tokens of the prompt.
            whole: The prompt of the whole conversation. None where it has not been made: then there are no images.
        """
        self._request, self._render, self._vocabulary = request, render, vocabulary
        self._room, self._whole = room, whole
        self._tokens = [sum(map(self._count, _texts(message))) for message in request.messages]
        shown = iter([image.length for image in whole.images] if whole is not None else ())
        self._images = [sum(next(shown, 0) for _ in message.images) for message in request.messages]
        self._units = units(request.messages)

    def fitted(self, most: int) -> CutPrompt:
        """Return the prompt of what stays. Where it is too long even so, its longest text is cut.

        Args:
            most: Most tokens of prompt plus answer.
        """
        found = self._without_oldest()
        if len(found.prompt) < most:  # it fits, although there may be less room for the answer than there should be
            return found
        shorter = self._with_shorter_text(found, most)
        if shorter is not None:
            return shorter
        return found if self._whole is None else CutPrompt(self._whole)

    def _without_oldest(self) -> CutPrompt:
        """Leave out as few units as possible, the oldest first; where all of them are too many, all."""
        # 1. What stays in any case, and how many tokens that has.
        all_units = len(self._units)
        smallest = self._without(all_units) if self._units or self._whole is None else self._whole
        fixed = _text_tokens(smallest) + sum(self._images[at] for at in self._kept(all_units))
        # 2. What the chat template adds to each message. It is known once a prompt with such messages was made.
        added = 0.0 if self._whole is None else self._added(self._whole, smallest, 0)
        # 3. The sums say how many units to leave out. The prompt says whether that was right.
        least, more = 0 if self._whole is None else 1, 1
        while (number := max(least, self._enough(fixed, added))) < all_units:
            prompt = self._without(number)
            if len(prompt) <= self._room:
                return self._told(prompt, number)
            added = max(added, self._added(prompt, smallest, number))
            least, more = number + more, more * 2
        if len(smallest) > self._room and smallest.images:
            smallest = self._without(all_units, truncate=False)
        return self._told(smallest, all_units)

    def _enough(self, fixed: int, added: float) -> int:
        """Return how many units to leave out, by the sums of their tokens.

        Args:
            fixed: Tokens of what stays in any case.
            added: How many tokens the chat template adds to each message.
        """
        sizes = [sum(self._tokens[at] + self._images[at] + added for at in unit) for unit in self._units]
        excess = fixed + sum(sizes) - self._room
        portion = max(1, (self._room + 1) // SHARE)
        rounded = portion * ceil(excess / portion)
        kept, kept_rounded = sum(sizes) - excess, sum(sizes) - rounded
        wanted = rounded if 2 * kept_rounded >= kept else excess  # a portion must not be most of what could stay
        freed = 0.0
        for number, size in enumerate(sizes):
            if freed >= wanted:
                return number
            freed += size
        return len(sizes)

    def _added(self, prompt: Prompt, smallest: Prompt, number: int) -> float:
        """Return how many tokens the chat template adds to each message, on average.

        Args:
            prompt: A prompt without the first `number` units.
            smallest: The prompt without any unit.
            number: How many units are left out.
        """
        extra = [at for unit in self._units[number:] for at in unit]
        texts = sum(self._tokens[at] for at in extra)
        return (_text_tokens(prompt) - _text_tokens(smallest) - texts) / max(1, len(extra))

    def _kept(self, number: int) -> list[int]:
        """Return the indices of the messages that stay when the first `number` units are left out."""
        left_out = {at for unit in self._units[:number] for at in unit}
        return [at for at in range(len(self._request.messages)) if at not in left_out]

    def _without(self, number: int, *, truncate: bool = True) -> Prompt:
        messages = tuple(self._request.messages[at] for at in self._kept(number))
        return self._render(replace(self._request, messages=messages, truncate=truncate))

    def _told(self, prompt: Prompt, number: int) -> CutPrompt:
        left_out = [at for unit in self._units[:number] for at in unit]
        return CutPrompt(prompt, len(left_out), sum(self._tokens[at] + self._images[at] for at in left_out))

    # --- texts ----------------------------------------------------------------------------------

    def _with_shorter_text(self, found: CutPrompt, most: int) -> CutPrompt | None:
        """Cut the longest text that stays at its beginning; None where that is not enough.

        Args:
            found: The prompt that is too long.
            most: Most tokens of prompt plus answer.
        """
        messages = [self._request.messages[at] for at in self._kept(len(self._units))]
        prompt, cut = found.prompt, 0
        for _ in range(_TRIES):
            if len(prompt) <= self._room or (cut and len(prompt) < most):
                return CutPrompt(prompt, found.cut_messages, found.cut_tokens + cut)
            # 1. The message with the longest text, and how many tokens have to go.
            sizes = [
                0 if one.role == "system" else sum(self._count(part.text) for part in _cuttable(one))
                for one in messages
            ]
            longest = max(range(len(sizes)), key=sizes.__getitem__)
            excess = len(prompt) - self._room
            if excess >= sizes[longest]:  # nothing would be left of it: less room for the answer has to do
                excess = len(prompt) - most + 1
            if not sizes[longest]:
                return None
            # 2. Its text without these tokens.
            excess = min(excess, sizes[longest])
            messages[longest] = self._shortened(messages[longest], excess)
            cut += excess
            prompt = self._render(replace(self._request, messages=tuple(messages), truncate=False))
        return None

    def _shortened(self, message: Message, tokens: int) -> Message:
        """Return a message without the first tokens of its text. Images, calls and thoughts stay whole."""
        parts: list[Part] = []
        for part in message.parts:
            if tokens and isinstance(part, TextPart | ToolResultPart):
                size = self._count(part.text)
                part = replace(part, text=self._end(part.text, tokens) if tokens < size else "")
                tokens -= min(tokens, size)
            parts.append(part)
        return replace(message, parts=tuple(parts))

    def _end(self, text: str, tokens: int) -> str:
        """Return a text without its first tokens. Special tokens that a raw prompt spells are not cut in two."""
        kept = self._encoded(text)[tokens:]
        visible = self._vocabulary.special_in([text]) if self._request.raw else ()
        data, size = text.encode(), len(self._vocabulary.bytes_of(kept, visible=visible))
        return data[max(0, len(data) - size) :].decode(errors="ignore")

    def _count(self, text: str) -> int:
        return len(self._encoded(text)) if text else 0

    def _encoded(self, text: str) -> list[int]:
        return self._vocabulary.encode(text if self._request.raw else self._vocabulary.quote(text))


def units(messages: Sequence[Message]) -> list[list[int]]:
    """Return the indices of messages that may be left out, in the order in which they are left out.

    The messages of an inner list are left out together: first each question with all its answers, then what was said
    after the last question, but for the last message. A call of a tool and its results are one.
    """
    # 1. Messages that belong together: the results of tools belong to the message before them, which called the tools.
    groups: list[list[int]] = []
    for at, message in enumerate(messages):
        if message.role == "system":
            continue
        if groups and (message.role == "tool" or message.of_kind(ToolResultPart)):
            groups[-1].append(at)
        else:
            groups.append([at])
    # 2. Questions with their answers, up to the last question.
    questions = [number for number, group in enumerate(groups) if messages[group[0]].role == "user"]
    last = questions[-1] if questions else 0
    found: list[list[int]] = []
    for number, group in enumerate(groups[:last]):
        if number in questions or not found:
            found.append([])
        found[-1] += group
    # 3. What was said after the last question. Without any question, each message is on its own.
    return found + (groups[last + 1 : -1] if questions else groups[:-1])


def _cuttable(message: Message) -> list[TextPart | ToolResultPart]:
    return [part for part in message.parts if isinstance(part, TextPart | ToolResultPart)]


def _texts(message: Message) -> list[str]:
    """Return everything in a message that becomes tokens of text."""
    texts: list[str] = []
    for part in message.parts:
        if isinstance(part, TextPart | ThinkingPart | ToolResultPart):
            texts.append(part.text)
        elif isinstance(part, ToolCallPart):
            texts += (part.name, part.arguments)
    return texts


def _text_tokens(prompt: Prompt) -> int:
    """Return how many tokens of a prompt do not stand under an image."""
    return len(prompt) - sum(image.length for image in prompt.images)

"""OpenAI's text completions: questions from bodies, and bodies and events from answers.

As in Ollama, the prompt is put into the model's chat template. `"raw": true` sends it as it is. A model that can think
does not: this API has no place for thoughts.

Source: https://platform.openai.com/docs/api-reference/completions
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from olpipe.asking.wishes import Wishes
from olpipe.errors import OlpipeError
from olpipe.generation import MOST_TOP_LOGPROBS, Chunk, Completion, Timings, TokenLogprobs, Usage
from olpipe.messages import TextPart
from olpipe.server.bodies.event_streams import DONE, event
from olpipe.server.bodies.fields import Fields
from olpipe.server.question import Question, Turn
from olpipe.server.refusal import Refusal
from olpipe.server.several import Answers
from olpipe.server.wire import failures
from olpipe.server.wire import openai_options as options
from olpipe.server.wire.openai_answers import (
    FINGERPRINT,
    Body,
    LegacyLikelihoods,
    counts_of,
    cut,
    finish_reason,
    new_id,
    usage,
)
from olpipe.server.wire.openai_chat import read_include_usage, read_model


@dataclass(frozen=True, slots=True)
class TextRequest:
    """The body of /v1/completions.

    Attributes:
        questions: One question for each answer: all answers to the first prompt come first.
        each: How many answers there are to each prompt.
        echoed: What stands before each answer: its prompt, or nothing.
        stream: Whether the answers are sent as they are written.
        include_usage: Whether a stream says how many tokens there were.
    """

    questions: tuple[Question, ...]
    each: int
    echoed: tuple[str, ...]
    stream: bool
    include_usage: bool


def read_completion(fields: Fields) -> TextRequest:
    """Read the body of /v1/completions.

    Raises:
        Refusal: A field cannot be used.
        SchemaError: No answer can be held to the format.
    """
    model = read_model(fields)
    prompts, each = _prompts(fields), options.read_count(fields)
    raw, suffix, echo, stream = fields.flag("raw"), fields.text("suffix"), fields.flag("echo"), fields.flag("stream")
    if len(prompts) * each > options.MOST_ANSWERS:
        told = f"{len(prompts)} prompts with {each} answers each are more than {options.MOST_ANSWERS} answers"
        raise Refusal(400, told, hint="send fewer prompts in one request")
    if fields.whole("best_of") not in (None, each):
        raise Refusal(400, "`best_of` is not supported", hint="ask for several answers with `n`, and choose yourself")
    top = _top_logprobs(fields)
    if echo and top is not None:
        hint = "leave one of the two out"
        raise Refusal(400, "`logprobs` of an echoed prompt are not supported", hint=hint)
    wishes = Wishes(
        held_to=options.read_held_to(fields.inner("response_format"), schema_in="json_schema"),
        sampling=options.read_sampling(fields, "max_tokens", "max_completion_tokens"),
        usual=options.USUAL_SAMPLING,
        think=None if raw else "off",
        raw=raw,
        suffix=suffix or None,
        top_logprobs=top,
        truncate=fields.flag("truncate", default=True),
    )
    needs = ("completion", "insert") if suffix else ("completion",)
    questions = tuple(
        copy
        for prompt in prompts
        for copy in options.copies(
            Question(model, (Turn("user", (TextPart(prompt),)),), wishes, stream=stream, needs=needs), each
        )
    )
    echoed = tuple(prompt if echo else "" for prompt in prompts for _ in range(each))
    return TextRequest(questions, each, echoed, stream, read_include_usage(fields))


def _prompts(fields: Fields) -> list[str]:
    value = fields.any("prompt")
    prompts = [value] if isinstance(value, str) else value
    place = fields.place("prompt")
    if prompts is None or prompts == []:
        raise Refusal(400, f"`{place}` is missing")
    if not isinstance(prompts, list):
        raise Refusal(400, f"`{place}` must be a text, or a list of texts")
    if all(isinstance(prompt, int | list) for prompt in prompts):
        raise Refusal(400, f"`{place}` is a list of tokens, which is not supported", hint="send the text itself")
    return fields.texts("prompt") if isinstance(value, list) else prompts


def _top_logprobs(fields: Fields) -> int | None:
    top = fields.whole("logprobs")
    if top is not None and not 0 <= top <= MOST_TOP_LOGPROBS:
        raise Refusal(400, f"`logprobs` cannot be {top}: it must be between 0 and {MOST_TOP_LOGPROBS}")
    return top


class TextWriter:
    """Writes the answers of one request: as one body, or as the events of a stream."""

    def __init__(self, request: TextRequest, answers: Answers) -> None:
        """Begin. All events of a stream have the same id and the same time."""
        self._request = request
        self._head: Body = {
            "id": new_id("cmpl-"),
            "object": "text_completion",
            "created": int(time.time()),
            "model": request.questions[0].model,
            "system_fingerprint": FINGERPRINT,
        }
        self._unsaid = list(request.echoed)
        self._likely = [LegacyLikelihoods() for _ in answers.each]
        self._counts = [(Usage(), Timings())] * len(answers.each)

    def whole(self, answers: Sequence[Sequence[Chunk]]) -> Body:
        """Return the answers, each in pieces, as one body."""
        completions, choices = [Completion.of(chunks) for chunks in answers], []
        counts = counts_of(completions)
        for at, completion in enumerate(completions):
            reason = finish_reason(completion.finish_reason, calls=False)
            choices.append(self._choice(at, completion.text, completion.logprobs, reason))
        counted = usage(counts, each=self._request.each)
        return {**self._head, "choices": choices, "usage": counted, **cut(counts[0][0])}

    def write(self, item: tuple[int, Chunk]) -> bytes:
        """Return the events of a piece of an answer."""
        return b"".join(self._events(*item))

    def end(self) -> bytes:
        """Return the events after the last piece."""
        if not self._request.include_usage:
            return DONE
        counted = usage(self._counts, each=self._request.each)
        return event({**self._head, "choices": [], "usage": counted}) + DONE

    def failed(self, error: OlpipeError) -> bytes:
        """Return the event that ends a stream because of an error."""
        return event(failures.openai(error))

    def _events(self, at: int, chunk: Chunk) -> Iterator[bytes]:
        if chunk.text or chunk.logprobs:
            yield self._event(self._choice(at, chunk.text, chunk.logprobs, None), {})
        if chunk.finish_reason is not None:
            used = chunk.usage or Usage()
            self._counts[at] = (used, chunk.timings or Timings())
            reason = finish_reason(chunk.finish_reason, calls=False)
            yield self._event(self._choice(at, "", (), reason), cut(used))

    def _event(self, choice: Body, more: Body) -> bytes:
        nothing = {"usage": None} if self._request.include_usage else {}
        return event({**self._head, **nothing, "choices": [choice], **more})

    def _choice(self, at: int, text: str, logprobs: Sequence[TokenLogprobs], reason: str | None) -> Body:
        likely = self._likely[at].feed(logprobs) if logprobs else None
        text, self._unsaid[at] = self._unsaid[at] + text, ""
        return {"index": at, "text": text, "logprobs": likely, "finish_reason": reason}

"""An answer of a server, as its lines come."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any, cast

from olpipe.asking.context import OWN_MEANS
from olpipe.errors import ContextExceeded, ServerUnreachable
from olpipe.generation import Chunk, Completion, FinishReason, Timings, Usage
from olpipe.image import ShownImage

logger = logging.getLogger(__name__)

AGAIN = "start it again, for example with `olpipe serve` in another window, and ask again"
"""What to do when the server went away."""

_CANCELLED = Chunk(finish_reason=FinishReason.CANCELLED)


class ServerAnswer:
    """The answer to a request to `/api/chat`. One thread reads it. Leaving the iteration early ends the request."""

    def __init__(self, lines: Iterator[dict[str, Any]], *, place: str, schema: str | None = None) -> None:
        """Send the request, and wait until the answer begins.

        Args:
            lines: The lines of the answer. The request is sent when the first of them is asked for.
            place: The server's address, for messages.
            schema: The schema that the answer is held to, `{}` for any JSON object; None where it is free.

        Raises:
            OlpipeError: The server refuses the request, or cannot be reached.
        """
        self._lines = lines
        self._place = place
        self._schema = schema
        self._chunks: list[Chunk] = []
        self._waits = False
        self._cancelled = False
        self._first: dict[str, Any] | None = self._next()

    def __iter__(self) -> Iterator[Chunk]:
        """Yield the pieces.

        Raises:
            OlpipeError: What went wrong with the request.
            ServerUnreachable: The server went away in the middle.
        """
        with closing(cast(Any, self._lines)):
            while not self._chunks or self._chunks[-1].finish_reason is None:
                chunk = self._read()
                self._chunks.append(chunk)
                yield chunk

    def cancel(self) -> None:
        """End the answer. This raises an exception where the thread waits for the server at this moment."""
        self._cancelled = True
        if self._waits:
            raise KeyboardInterrupt

    def completion(self) -> Completion:
        """Return the whole answer, once the iteration has ended."""
        return Completion.of(self._chunks)

    def judge(self, completion: Completion) -> None:
        """Judge a document by the schema that it was held to."""
        if self._schema is not None:
            from olpipe.guidance.validate import judge_as_it_is

            judge_as_it_is(self._schema, completion.text)

    def _read(self) -> Chunk:
        if self._cancelled:
            return _CANCELLED
        try:
            line, self._first = self._first or self._next(), None
        except KeyboardInterrupt:
            if self._cancelled:
                return _CANCELLED
            raise
        except ServerUnreachable as error:
            raise self._gone() from error
        if line is None:
            raise self._gone()
        if "format" in line:  # the server changed the schema, since the model cannot say all that it asks for
            self._schema = json.dumps(line["format"], ensure_ascii=False)
        if lost := line.get("left_out"):
            them = ", ".join(f"`{path}`" for path in lost)
            logger.warning("`%s` cannot say where things are, so this is left out: %s", line.get("model"), them)
        return chunk_of(line)

    def _next(self) -> dict[str, Any] | None:
        self._waits = True
        try:
            return next(self._lines, None)
        except ContextExceeded as error:
            hint = None if error.hint is None else error.hint.removesuffix(f"; {OWN_MEANS}")
            raise ContextExceeded(error.message, hint=hint) from error
        finally:
            self._waits = False

    def _gone(self) -> ServerUnreachable:
        return ServerUnreachable(f"the server at {self._place} went away in the middle of the answer", hint=AGAIN)


def chunk_of(line: Mapping[str, Any]) -> Chunk:
    """Return a line of `/api/chat` as a piece of an answer. A server that is not olpipe leaves out some counts."""
    message = line.get("message") or {}
    text, thinking = message.get("content") or "", message.get("thinking") or ""
    if not line.get("done"):
        return Chunk(text, thinking)
    images = [ShownImage(image["width"], image["height"], image["tokens"]) for image in line.get("images") or ()]
    return Chunk(
        text, thinking, finish_reason=_reason(line), usage=_usage(line), timings=_timings(line), shown=tuple(images)
    )


def _reason(line: Mapping[str, Any]) -> FinishReason:
    try:
        return FinishReason(str(line.get("done_reason")))
    except ValueError:
        return FinishReason.STOP


def _usage(line: Mapping[str, Any]) -> Usage:
    forced = _count(line, "eval_forced_count")
    return Usage(
        prompt_tokens=_count(line, "prompt_eval_count"),
        sampled_tokens=_count(line, "eval_count") - forced,
        forced_tokens=forced,
        spliced_tokens=_count(line, "spliced_count"),
        cut_messages=_count(line, "truncated_messages"),
        cut_tokens=_count(line, "truncated_tokens"),
    )


def _timings(line: Mapping[str, Any]) -> Timings:
    fit_ns, encode_ns = _count(line, "fit_duration"), _count(line, "encode_duration")
    return Timings(
        load_ns=_count(line, "load_duration"),
        queue_ns=_count(line, "queue_duration"),
        fit_ns=fit_ns,
        encode_ns=encode_ns,
        prompt_ns=_count(line, "prompt_eval_duration") - fit_ns - encode_ns,
        decode_ns=_count(line, "eval_duration"),
        reused_tokens=_count(line, "prompt_eval_cached_count"),
    )


def _count(line: Mapping[str, Any], name: str) -> int:
    value = line.get(name)
    return value if isinstance(value, int) else 0

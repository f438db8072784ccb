"""OpenAI's responses: bodies and streams from answers."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from olpipe.errors import OlpipeError
from olpipe.generation import Chunk, Completion
from olpipe.server.bodies.event_streams import event
from olpipe.server.several import Answers
from olpipe.server.wire.openai_answers import Body, finish_reason, new_id
from olpipe.server.wire.responses_events import ResponseEvents
from olpipe.server.wire.responses_reading import ResponseRequest


class ResponseWriter:
    """Writes the answer to one request: as one body, or as the events of a stream."""

    def __init__(self, request: ResponseRequest, answers: Answers) -> None:
        """Begin. The sampling that a response repeats is the one that was really used."""
        sampling = answers.sampling
        response: Body = {
            "id": new_id("resp_"),
            "object": "response",
            "created_at": int(time.time()),
            "model": request.questions[0].model,
            **request.echoed,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "presence_penalty": sampling.presence_penalty,
            "frequency_penalty": sampling.frequency_penalty,
        }
        self._events = ResponseEvents(response, request.namespaces)
        self._began = False

    def whole(self, answers: Sequence[Sequence[Chunk]]) -> Body:
        """Return the answer, which comes in pieces, as one body.

        Raises:
            GenerationError: It was cancelled.
        """
        (chunks,) = answers
        finish_reason(Completion.of(chunks).finish_reason, calls=False)
        for chunk in chunks:
            for _ in self._events.feed(chunk):
                pass
        return self._events.response

    def write(self, item: tuple[int, Chunk]) -> bytes:
        """Return the events of a piece of the answer."""
        begin = b"" if self._began else _written(self._events.begin())
        self._began = True
        return begin + _written(self._events.feed(item[1]))

    def end(self) -> bytes:
        """Return nothing: the last piece has the last event."""
        return b""

    def failed(self, error: OlpipeError) -> bytes:
        """Return the events that end the stream because of an error."""
        return _written(self._events.fail(error))


def _written(events: Iterable[Body]) -> bytes:
    return b"".join(event(one, one["type"]) for one in events)

"""Send a request to its model and show the answer, in a session and outside of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from olpipe.cli.repl.terminal import interrupting
from olpipe.generation import Chunk, FinishReason

if TYPE_CHECKING:
    from olpipe.asking.asker import Asker
    from olpipe.cli.repl.showing import AnswerView
    from olpipe.cli.repl.spinner import Waiting
    from olpipe.engine.manager import Engine
    from olpipe.generation import Completion, GenerateRequest
    from olpipe.model import LoadOptions


def show_answer(
    asker: Asker,
    request: GenerateRequest,
    engine: Engine,
    *,
    view: AnswerView,
    waiting: Waiting,
    keep_alive_s: float | None,
    options: LoadOptions | None,
) -> Completion:
    """Show an answer as it comes, or as a whole where its boxes have to become pixels of the photo first.

    Ctrl-C ends the answer. What was written before is returned then, with the finish reason `cancelled`.

    Args:
        asker: What made the request.
        request: The request.
        engine: The engine that runs the model.
        view: Shows the answer.
        waiting: Shows that something is waited for.
        keep_alive_s: How long the model stays loaded afterwards, as in `Engine.submit`.
        options: How the model is loaded.

    Raises:
        OlpipeError: What went wrong with the request.
    """
    spoken = asker.spoken(request)
    stream = engine.submit(spoken, keep_alive_s=keep_alive_s, options=options)
    try:
        with interrupting(stream.cancel), waiting.spinner() as spinner:
            for chunk in stream:
                piece = chunk if spoken is request else Chunk(thinking=chunk.thinking)
                if piece.text or piece.thinking:
                    spinner.stop()
                    view.show(piece)
        completion = stream.completion()
        if spoken is not request and completion.finish_reason is not FinishReason.CANCELLED:
            completion = asker.heard(request, completion)
            view.show(Chunk(completion.text))
        return completion
    finally:
        view.end()
        waiting.close()

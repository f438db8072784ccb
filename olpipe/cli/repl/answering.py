"""Show an answer as it comes, in a session and outside of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from olpipe.cli.repl.terminal import interrupting

if TYPE_CHECKING:
    from olpipe.cli.hosts.host import Answer
    from olpipe.cli.repl.showing import AnswerView
    from olpipe.cli.repl.spinner import Waiting
    from olpipe.generation import Completion


def show_answer(answer: Answer, *, view: AnswerView, waiting: Waiting) -> Completion:
    """Show an answer, and return it.

    Ctrl-C ends the answer. What was written before is returned then, with the finish reason `cancelled`.

    Args:
        answer: The answer on its way.
        view: Shows it.
        waiting: Shows that something is waited for.

    Raises:
        OlpipeError: What went wrong with the request.
    """
    try:
        with interrupting(answer.cancel), waiting.spinner() as spinner:
            for piece in answer:
                if piece.text or piece.thinking:
                    spinner.stop()
                    view.show(piece)
        return answer.completion()
    finally:
        view.end()
        waiting.close()

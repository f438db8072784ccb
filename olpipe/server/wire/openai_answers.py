"""What the answers of OpenAI's API have in common: why they ended, how many tokens they took, how likely these were.

Source: https://platform.openai.com/docs/api-reference/chat/object
"""

from __future__ import annotations

import secrets
from codecs import getincrementaldecoder
from collections.abc import Iterable, Sequence
from typing import Any

from olpipe import __version__
from olpipe.errors import GenerationError
from olpipe.generation import Candidate, Chunk, Completion, FinishReason, Timings, TokenLogprobs, Usage

FINGERPRINT = f"fp_olpipe_{__version__}"
"""Tells clients which code wrote an answer: the same seed gives the same text only with the same code."""

LEAST_LOGPROB = -9999.0
"""Stands for minus infinity, which JSON does not have."""

Body = dict[str, Any]


def new_id(prefix: str) -> str:
    """Return an id that no other answer has."""
    return f"{prefix}{secrets.token_hex(12)}"


def finish_reason(reason: FinishReason, *, calls: bool) -> str:
    """Return why an answer ended.

    Args:
        reason: Why it ended.
        calls: Whether the model asks for tools in it.

    Raises:
        GenerationError: It was cancelled, which is no way to end in this API.
    """
    if reason is FinishReason.CANCELLED:
        raise GenerationError("the answer was cancelled before it was complete", hint="send the request again")
    if calls and reason is FinishReason.STOP:
        return FinishReason.TOOL_CALLS.value
    return reason.value


def usage(counts: Sequence[tuple[Usage, Timings]], *, each: int = 1) -> Body:
    """Return how many tokens there were.

    Args:
        counts: Those of each answer, in order.
        each: How many answers there are to each prompt. The tokens of a prompt count once.
    """
    prompts = counts[::each]
    prompt = sum(used.prompt_tokens for used, _ in prompts)
    answers = sum(used.sampled_tokens + used.forced_tokens for used, _ in counts)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": answers,
        "total_tokens": prompt + answers,
        "completion_tokens_details": {"reasoning_tokens": sum(used.thinking_tokens for used, _ in counts)},
        "prompt_tokens_details": {"cached_tokens": sum(timings.reused_tokens for _, timings in prompts)},
    }


def counts_of(answers: Iterable[Completion]) -> list[tuple[Usage, Timings]]:
    """Return what `usage` counts."""
    return [(answer.usage, answer.timings) for answer in answers]


def speaks(chunk: Chunk, before: bool = True) -> bool:
    """Say whether the tokens of a piece belong to the text of an answer, and not to thinking or to a call.

    Args:
        chunk: The piece.
        before: Whether those of the piece before it did. A piece that shows nothing goes on with what came before.
    """
    return bool(chunk.text) or (before and not chunk.thinking and not chunk.tool_calls)


def spoken(chunks: Iterable[Chunk]) -> list[TokenLogprobs]:
    """Return how likely the tokens of an answer's text were."""
    found: list[TokenLogprobs] = []
    is_text = True
    for chunk in chunks:
        is_text = speaks(chunk, is_text)
        found += chunk.logprobs if is_text else ()
    return found


def cut(used: Usage) -> Body:
    """Return the fields that tell that a prompt was too long and was cut; none where it was not."""
    if not used.cut_tokens:
        return {}
    return {"truncated": True, "truncated_messages": used.cut_messages, "truncated_tokens": used.cut_tokens}


def likelihood(one: TokenLogprobs) -> Body:
    """Return how likely a token was. A token that was forced had no other choice, so its logarithm is 0."""
    logprob = one.raw if one.raw is not None else one.constrained or 0.0
    top = [_candidate(other.data, other.logprob) for other in one.top_raw]
    return {**_candidate(one.data, logprob), "top_logprobs": top}


def _candidate(data: tuple[int, ...], logprob: float) -> Body:
    token = bytes(data).decode(errors="replace")
    return {"token": token, "logprob": max(logprob, LEAST_LOGPROB), "bytes": list(data)}


class LegacyLikelihoods:
    """Tells how likely the tokens of one answer were, in the shape of text completions."""

    def __init__(self) -> None:
        self._decoder = getincrementaldecoder("utf-8")(errors="replace")
        self._offset = 0

    def feed(self, logprobs: Iterable[TokenLogprobs]) -> Body:
        """Return how likely the next tokens were. A token's offset is the number of characters before it."""
        found = list(logprobs)
        offsets = []
        for one in found:
            offsets.append(self._offset)
            self._offset += len(self._decoder.decode(bytes(one.data)))
        return {
            "tokens": [_spelled(one.data) for one in found],
            "token_logprobs": [likelihood(one)["logprob"] for one in found],
            "top_logprobs": [_top(one.top_raw) for one in found],
            "text_offset": offsets,
        }


def _top(candidates: Iterable[Candidate]) -> dict[str, float]:
    return {_spelled(one.data): max(one.logprob, LEAST_LOGPROB) for one in candidates}


def _spelled(data: tuple[int, ...]) -> str:
    """Return a token's text. A token that is no whole character is spelled as its bytes, so that no two look alike."""
    try:
        return bytes(data).decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)

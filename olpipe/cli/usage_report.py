"""What `--verbose` says about an answer: Ollama's lines, then ours.

Source: https://github.com/ollama/ollama/blob/main/api/types.go, Metrics.Summary
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from olpipe.generation import FinishReason, Usage

if TYPE_CHECKING:
    from olpipe.generation import Completion

_SMALL = ((1_000, "ns", 1), (1_000_000, "µs", 1_000), (1_000_000_000, "ms", 1_000_000))
_SECOND, _MINUTE = 1_000_000_000, 60


def report(completion: Completion, *, counts_all: bool = True) -> None:
    """Write tokens and times of an answer to stderr.

    Args:
        completion: The answer.
        counts_all: Whether it was counted what only olpipe counts. If not, there are Ollama's lines only.
    """
    rows = _rows(completion, counts_all=counts_all) | {"done reason": completion.finish_reason.value}
    for name, value in rows.items():
        click.echo(f"{name + ':':<22}{value}", err=True)


def _rows(completion: Completion, *, counts_all: bool) -> dict[str, str]:
    """Return what was counted and measured; nothing where an answer was given up before that was known."""
    usage, timings = completion.usage, completion.timings
    if completion.finish_reason is FinishReason.CANCELLED and usage == Usage():
        return {}
    prompt_ns = timings.prompt_ns + timings.fit_ns + timings.encode_ns
    total_ns = timings.load_ns + timings.queue_ns + prompt_ns + timings.decode_ns
    decoded = usage.sampled_tokens + usage.forced_tokens
    rows = {
        "total duration": duration(total_ns),
        "load duration": duration(timings.load_ns),
        "prompt eval count": f"{usage.prompt_tokens} token(s)",
        "prompt eval duration": duration(prompt_ns),
        "prompt eval rate": _rate(usage.prompt_tokens, prompt_ns),
        "eval count": f"{decoded} token(s)",
        "eval duration": duration(timings.decode_ns),
        "eval rate": _rate(decoded, timings.decode_ns),
    }
    if not counts_all:
        return rows
    rows["prompt eval count"] += f", {timings.reused_tokens} reused"
    rows["eval count"] += f": {usage.sampled_tokens} sampled, {usage.forced_tokens} forced"
    return {
        **rows,
        "queue duration": duration(timings.queue_ns),
        **_image_rows(completion),
        "spliced count": f"{usage.spliced_tokens} token(s)",
    }


def duration(nanoseconds: int) -> str:
    """Return a length of time as Go writes it: `1.5ms`, `1m2.5s`.

    Source: https://pkg.go.dev/time#Duration.String
    """
    for limit, unit, size in _SMALL:
        if nanoseconds < limit:
            return f"{_decimal(nanoseconds, size)}{unit}" if nanoseconds else "0s"
    minutes, rest = divmod(nanoseconds, _MINUTE * _SECOND)
    hours, minutes = divmod(minutes, 60)
    larger = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{larger}{_decimal(rest, _SECOND)}s"


def _decimal(number: int, size: int) -> str:
    """Return a number of parts as a number of wholes, exactly."""
    whole, parts = divmod(number, size)
    digits = f"{parts:0{len(str(size)) - 1}d}".rstrip("0") if parts else ""
    return f"{whole}.{digits}" if digits else str(whole)


def _rate(tokens: int, nanoseconds: int) -> str:
    return f"{tokens * 1e9 / nanoseconds if nanoseconds else 0:.2f} tokens/s"


def _image_rows(completion: Completion) -> dict[str, str]:
    """Return what is said about the images of a question, for a model that sees."""
    shown, timings = completion.shown, completion.timings
    if not shown:
        return {}
    sizes = ", ".join(f"{image.width}x{image.height}" for image in shown)
    return {
        "image count": f"{len(shown)} image(s), {sum(image.tokens for image in shown)} token(s), seen as {sizes}",
        "fit duration": duration(timings.fit_ns),
        "encode duration": duration(timings.encode_ns),
    }

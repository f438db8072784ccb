"""`olpipe batch --plan`: say what a batch will take, and write nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from olpipe.cli.batch_display import plural
from olpipe.sizes import size

if TYPE_CHECKING:
    from olpipe.pipeline.forecast import Forecast

MOST_RECORDS = 2


def tell(forecast: Forecast) -> None:
    """Write what is known to stderr, and some of the records to stdout, one on each line."""
    import orjson

    tried = len(forecast.records) + len(forecast.failures)
    _say(f"{plural(forecast.wanted, 'photo')}: {forecast.done} done, {forecast.left} left. {_tried(tried)}")
    if not tried:
        return
    if forecast.failures:
        _say(f"{len(forecast.failures)} of them failed: {forecast.failures[0]['message']}")
    if forecast.images_per_second:
        rate, takes = f"{forecast.images_per_second:.2f} images/s", words(forecast.seconds_left)
        _say(f"about {rate}: what is left takes about {takes}")
    if forecast.is_most:
        _say("with `--near`, it may take less: photos that look nearly the same are found only during the run")
    _say(f"tokens of a photo: {forecast.prompt_tokens:.0f} in the prompt, {forecast.answer_tokens:.0f} in the answer")
    _say(f"on the disk: about {size(round(forecast.bytes_per_photo * forecast.left))}")
    for record in forecast.records[:MOST_RECORDS]:
        click.echo(orjson.dumps(record))


def words(seconds: float) -> str:
    """Return a length of time in its two largest units, such as `6 hours 12 minutes`."""
    left, parts = round(seconds), []
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        number, left = divmod(left, length)
        if number:
            parts.append(plural(number, unit))
        if len(parts) == 2 or (parts and not number):
            break
    return " ".join(parts) or "less than a second"


def _tried(tried: int) -> str:
    if not tried:
        return "Nothing was tried, and nothing is written"
    return f"{tried} {'was' if tried == 1 else 'were'} tried, and nothing is written"


def _say(text: str) -> None:
    click.echo(text, err=True)

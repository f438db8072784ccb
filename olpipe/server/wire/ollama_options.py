"""Ollama's options of a request, and what some clients write beside them."""

from __future__ import annotations

from olpipe.asking.options import Options, options_of
from olpipe.server.bodies.fields import Fields

BESIDE = {"temperature": "temperature", "top_p": "top_p", "max_output_tokens": "num_predict"}
"""What some clients write beside `options`, and which option they mean. Ollama reads none of them.

Source: https://github.com/nordwestt/ollama-ai-provider-v2
"""


def read_options(fields: Fields | None) -> Options:
    """Read the object `options`.

    Raises:
        UsageError: A value is of the wrong type, or out of its range.
    """
    return Options() if fields is None else options_of(fields.values)


def read_request_options(fields: Fields) -> Options:
    """Read the options of a request, and what some clients write beside them. Where both are there, `options` counts.

    Raises:
        UsageError: As in `read_options`.
    """
    beside = {option: fields.any(name) for name, option in BESIDE.items()}
    inner = fields.inner("options")
    return read_options(Fields({**beside, **(inner.values if inner is not None else {})}))

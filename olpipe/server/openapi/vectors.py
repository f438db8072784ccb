"""Ollama's routes that turn texts into vectors."""

from __future__ import annotations

from olpipe.server.openapi import native
from olpipe.server.openapi.operations import body, content, operation
from olpipe.server.openapi.schemas import (
    COUNT,
    NANOSECONDS,
    NUMBER,
    TEXT,
    about,
    answer,
    either,
    list_of,
    ref,
    request,
    whole,
)

TAG = "Vectors"

_LOADED = {"options": ref("Options"), "keep_alive": ref("KeepAlive")}

EMBED = request(
    {"model": native.MODEL},
    input=about(either(TEXT, list_of(TEXT)), "A text, or several."),
    truncate=native.TRUNCATE,
    dimensions=about(whole(0), "Cut each vector to so many values; 0 keeps all."),
    **_LOADED,
)
EMBEDDED = answer(
    {
        "model": TEXT,
        "embeddings": about(list_of(list_of(NUMBER)), "A vector of length 1 for each text."),
        "total_duration": NANOSECONDS,
        "load_duration": NANOSECONDS,
        "prompt_eval_count": about(COUNT, "Tokens of all texts."),
        "prompt_eval_duration": NANOSECONDS,
    }
)

PATHS = {
    "/api/embed": {
        "post": operation(
            "embed", "Turn texts into vectors.", {200: content("The vectors.", json=ref("Embedded"))},
            tag=TAG, requestBody=body(ref("Embed")),
        )
    },
    "/api/embeddings": {
        "post": operation(
            "embeddings", "Turn one text into a vector; /api/embed takes its place.",
            {200: content("The vector.", json=answer({"embedding": list_of(NUMBER)}))}, tag=TAG, deprecated=True,
            requestBody=body(request({"model": native.MODEL}, prompt=TEXT, **_LOADED)),
        )
    },
}  # fmt: skip
SCHEMAS = {"Embed": EMBED, "Embedded": EMBEDDED}

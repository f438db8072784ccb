"""The whole document, put together from its resources.

Source: https://spec.openapis.org/oas/v3.1.0
"""

from __future__ import annotations

from typing import Any

from olpipe import __version__
from olpipe.server.openapi import (
    answers,
    anthropic,
    describing,
    making,
    models,
    native,
    openai_chat,
    openai_responses,
    openai_shared,
    openai_texts,
    serving,
    tokens,
    vectors,
)

_RESOURCES = (
    *(serving, answers, vectors, tokens, models, making, describing),
    *(openai_chat, openai_responses, openai_texts, anthropic),
)
_SHARED = (native, openai_shared)

_DESCRIPTION = """\
Models on this machine, over the APIs of Ollama, OpenAI and Anthropic, and records of photos.

Fields of a request that are null count as missing. Fields that are not known are not read. The names of fields are
found in any case. The type of a body's content is not looked at, except by /api/describe. A body may be zipped as gzip.
"""


def document() -> dict[str, Any]:
    """Return the document."""
    schemas = {name: schema for part in (*_SHARED, *_RESOURCES) for name, schema in part.SCHEMAS.items()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "olpipe", "version": __version__, "description": _DESCRIPTION, "license": _LICENSE},
        "tags": [{"name": part.TAG} for part in _RESOURCES],
        "security": [{}, {"bearer": []}, {"key": []}],
        "paths": {path: operations for part in _RESOURCES for path, operations in part.PATHS.items()},
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "One of OLPIPE_API_KEY."},
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "The same."},
            },
        },
    }


_LICENSE = {"name": "Apache 2.0", "identifier": "Apache-2.0"}

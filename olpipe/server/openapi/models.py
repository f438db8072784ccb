"""Ollama's routes about the models on this machine."""

from __future__ import annotations

from olpipe.server.openapi import native
from olpipe.server.openapi.operations import body, content, operation
from olpipe.server.openapi.schemas import (
    COUNT,
    FLAG,
    TEXT,
    TIME,
    Schema,
    about,
    answer,
    list_of,
    one_of,
    or_null,
    ref,
    request,
)

TAG = "Models"

_CAPABILITIES = list_of(one_of("completion", "tools", "insert", "vision", "embedding", "thinking"))
_BRIEF: dict[str, Schema] = {
    "parent_model": TEXT,
    "format": TEXT,
    "family": TEXT,
    "families": list_of(TEXT),
    "parameter_size": TEXT,
    "quantization_level": TEXT,
}
_DIGEST = {"type": "string", "pattern": "^[0-9a-f]{64}$"}

DETAILS = answer({**_BRIEF, "context_length": or_null(COUNT), "embedding_length": or_null(COUNT)})
LISTED = answer(
    {
        "name": TEXT,
        "model": TEXT,
        "modified_at": TIME,
        "size": about(COUNT, "Bytes of all files."),
        "digest": _DIGEST,
        "details": ref("Details"),
        "capabilities": _CAPABILITIES,
        "perceivers": about(list_of(TEXT), "What looks at photos for a model that does not see."),
    }
)
LOADED = answer(
    {
        "name": TEXT,
        "model": TEXT,
        "size": about(COUNT, "Bytes of memory."),
        "digest": _DIGEST,
        "details": answer(_BRIEF),
        "expires_at": TIME,
        "size_vram": COUNT,
        "context_length": COUNT,
        "loading": about(or_null(ref("Progress")), "How far loading it is; null where it is loaded."),
        "active": about(COUNT, "Requests that it is answering."),
        "queue": about(COUNT, "Requests that wait for it."),
    }
)
_BACKEND = answer({"name": TEXT, "runs": FLAG, "refuses": or_null(TEXT)})
SHOWN = answer(
    {
        "details": ref("Details"),
        "model_info": {"type": "object"},
        "tensors": list_of(answer({"name": TEXT, "type": TEXT, "shape": list_of(COUNT)})),
        "capabilities": _CAPABILITIES,
        "perceivers": about(list_of(TEXT), "What looks at photos for a model that does not see."),
        "modified_at": TIME,
    },
    license=TEXT,
    modelfile=TEXT,
    parameters=TEXT,
    template=TEXT,
    system=TEXT,
    messages=list_of({"type": "object"}),
    projector_info={"type": "object"},
    name=TEXT,
    size=about(COUNT, "Bytes of all files."),
    digest=_DIGEST,
    projector=about(or_null({"type": "object"}), "What its vision encoder is; null where it has none."),
    backends=about(list_of(_BACKEND), "Which backend runs it, and why others do not, in the order they are asked."),
    card=about(TEXT, "Its model card, in Markdown."),
)

PATHS = {
    "/api/tags": {
        "get": operation(
            "tags", "List the models on this machine.", {200: content("The newest first.", json=ref("Tags"))}, tag=TAG
        )
    },
    "/api/ps": {
        "get": operation(
            "ps", "List the models in memory.",
            {200: content("The one that stays longest first.", json=answer({"models": list_of(ref("LoadedModel"))}))},
            tag=TAG,
        )
    },
    "/api/events": {
        "get": operation(
            "events", "Tell when the models in memory change.",
            {200: content("An event `models` at first, and one after each change. It never ends.", events=TEXT)},
            tag=TAG, description="The data of each event is what `/api/ps` says.",
        )
    },
    "/api/show": {
        "post": operation(
            "show", "Show what a model is.", {200: content("What it is.", json=ref("Shown"))}, tag=TAG,
            requestBody=body(
                native.named(
                    {}, verbose=about(FLAG, "Whether to show long lists."), system=TEXT, template=TEXT,
                    options=ref("Options"),
                    facts=about(FLAG, "Whether to tell what olpipe alone knows: `projector`, `backends`, `card`, …"),
                )
            ),
        )
    },
    "/api/copy": {
        "post": operation(
            "copy", "Give a model a second name.", {200: {"description": "It has the name."}}, tag=TAG,
            requestBody=body(request({"source": native.NAME, "destination": native.NAME})),
        )
    },
    "/api/delete": {
        "delete": operation(
            "delete", "Remove a model.", {200: {"description": "It is removed."}}, tag=TAG,
            requestBody=body(native.named({})),
        )
    },
}  # fmt: skip
SCHEMAS = {
    "Details": DETAILS,
    "ListedModel": LISTED,
    "LoadedModel": LOADED,
    "Shown": SHOWN,
    "Tags": answer({"models": list_of(ref("ListedModel"))}),
}

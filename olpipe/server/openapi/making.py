"""Ollama's routes that bring models here, make them, and send them elsewhere."""

from __future__ import annotations

from olpipe.server.openapi import native
from olpipe.server.openapi.operations import Operation, body, content, operation
from olpipe.server.openapi.schemas import (
    COUNT,
    FLAG,
    TEXT,
    Schema,
    about,
    answer,
    either,
    list_of,
    one_of,
    ref,
    request,
)

TAG = "Making models"

_STREAM = about(FLAG, "Whether each step is told. The default is true.")
_STEPS = "`success`; or a stream of lines, the last of which says `success`, or has `error`."
_FILES = {"type": "object", "additionalProperties": TEXT, "description": "Digests of files that were sent, by name."}

PROGRESS = answer(
    {"status": TEXT},
    digest=TEXT,
    total=about(COUNT, "Bytes, unless `unit` says otherwise."),
    completed=COUNT,
    unit=about(TEXT, "What is counted, where it is not bytes."),
    error=TEXT,
)
CREATE = request(
    {"model": about(native.NAME, "The name of the new model.")},
    stream=_STREAM,
    **{"from": about(TEXT, "A model that the new one is made from.")},
    files=_FILES,
    adapters=_FILES,
    system=TEXT,
    template=about(TEXT, "A chat template, in Jinja or in Go's language."),
    license=either(TEXT, list_of(TEXT)),
    parameters=ref("Options"),
    messages=list_of(request({"role": one_of("system", "user", "assistant", "tool")}, content=TEXT, thinking=TEXT)),
    quantize=about(TEXT, "How finely the weights are stored: `q4_k_m`, `q8_0`, `f32`, …"),
)
_TRANSFER: dict[str, Schema] = {
    "model": about(TEXT, "The name of a model."),
    "name": about(TEXT, "The same, as older clients call it."),
    "stream": _STREAM,
    "insecure": about(FLAG, "Whether the registry may be asked without encryption."),
}
TRANSFER = request({}, **_TRANSFER)
PULL = request(
    {},
    **_TRANSFER,
    destination=about(native.NAME, "What to call the model here, in place of the source's name for it."),
    proof=about(TEXT, "Proves that the user of the server asks. Only that user may name a path: `file:PATH`."),
)


def _steps(name: str, summary: str, schema: Schema) -> Operation:
    told = content(_STEPS, json=ref("Progress"), ndjson=ref("Progress"))
    return operation(name, summary, {200: told}, tag=TAG, requestBody=body(schema))


_DIGEST = {
    "name": "digest",
    "in": "path",
    "required": True,
    "description": "`sha256:` and 64 hex digits.",
    "schema": {"type": "string", "pattern": "^sha256[:-][0-9a-fA-F]{64}$"},
}
_FILE = {"required": True, "content": {"application/octet-stream": {"schema": {}}}}
PATHS = {
    "/api/create": {"post": _steps("create", "Make a model from another one, or from files.", ref("Create"))},
    "/api/pull": {"post": _steps("pull", "Bring a model onto this machine.", ref("Pull"))},
    "/api/push": {"post": _steps("push", "Send a model elsewhere.", ref("Transfer"))},
    "/api/blobs/{digest}": {
        "parameters": [_DIGEST],
        "head": operation("hasBlob", "Ask whether a file is here.", {200: {"description": "It is here."}}, tag=TAG),
        "post": operation(
            "sendBlob", "Send a file to make a model of.",
            {200: {"description": "It was here already."}, 201: {"description": "It is here now."}},
            tag=TAG, requestBody=_FILE,
        ),
    },
}  # fmt: skip
SCHEMAS = {"Progress": PROGRESS, "Create": CREATE, "Transfer": TRANSFER, "Pull": PULL}

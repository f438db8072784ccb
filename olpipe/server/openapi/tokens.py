"""The routes that show tokens."""

from __future__ import annotations

from olpipe.server.openapi import native
from olpipe.server.openapi.operations import body, content, operation
from olpipe.server.openapi.schemas import COUNT, FLAG, TEXT, about, answer, list_of, ref, request, whole

TAG = "Tokens"

_SPECIAL = about(FLAG, "Whether special tokens are told by their spelling. If not, the spelling is plain text.")
_LOADED = {"special": _SPECIAL, "options": ref("Options"), "keep_alive": ref("KeepAlive")}
_IDS = list_of(whole(-(1 << 63) + 1, (1 << 63) - 1))

PATHS = {
    "/api/tokenize": {
        "post": operation(
            "tokenize", "Cut a text into tokens.",
            {200: content("Their ids.", json=answer({"model": TEXT, "tokens": list_of(COUNT)}))}, tag=TAG,
            requestBody=body(request({"model": native.MODEL, "text": TEXT}, **_LOADED)),
        )
    },
    "/api/detokenize": {
        "post": operation(
            "detokenize", "Join tokens to a text.",
            {200: content("The text.", json=answer({"model": TEXT, "text": TEXT}))}, tag=TAG,
            requestBody=body(request({"model": native.MODEL, "tokens": _IDS}, **_LOADED)),
        )
    },
}  # fmt: skip
SCHEMAS: dict[str, dict[str, object]] = {}

"""OpenAI's text completions, embeddings, and list of models."""

from __future__ import annotations

from olpipe.generation import MOST_TOP_LOGPROBS
from olpipe.server.openapi import openai_shared as shared
from olpipe.server.openapi.operations import OPENAI, body, content, operation
from olpipe.server.openapi.schemas import (
    ANY,
    COUNT,
    EVENT,
    FLAG,
    NUMBER,
    TEXT,
    about,
    always,
    answer,
    either,
    list_of,
    one_of,
    or_null,
    ref,
    request,
    whole,
)

TAG = "OpenAI: texts, vectors and models"

COMPLETION_REQUEST = request(
    {"model": {"type": "string", "minLength": 1}, "prompt": either(TEXT, list_of(TEXT, least=1))},
    suffix=about(TEXT, "Text that comes after the answer."),
    raw=about(FLAG, "Whether the prompt goes to the model as it is, without a chat template."),
    echo=about(FLAG, "Whether the prompt stands before the answer."),
    stream=shared.STREAM,
    stream_options=shared.STREAM_OPTIONS,
    **shared.SAMPLING,
    max_tokens=shared.LIMIT,
    n=shared.COUNT_OF_ANSWERS,
    logprobs=whole(0, MOST_TOP_LOGPROBS),
    response_format=ref("ResponseFormat"),
    truncate=shared.TRUNCATE,
)
_LIKELIHOODS = answer(
    {
        "tokens": list_of(TEXT),
        "token_logprobs": list_of(NUMBER),
        "top_logprobs": list_of({"type": "object", "additionalProperties": NUMBER}),
        "text_offset": list_of(COUNT),
    }
)
COMPLETION = answer(
    {
        "id": TEXT,
        "object": always("text_completion"),
        "created": COUNT,
        "model": TEXT,
        "system_fingerprint": TEXT,
        "choices": list_of(
            answer(
                {
                    "index": COUNT,
                    "text": TEXT,
                    "logprobs": or_null(_LIKELIHOODS),
                    "finish_reason": or_null(one_of("stop", "length")),
                }
            )
        ),
    },
    usage=or_null(ref("Usage")),
    **shared.CUT,
)

EMBEDDINGS_REQUEST = request(
    {
        "model": {"type": "string", "minLength": 1},
        "input": either({"type": "string", "minLength": 1}, list_of(TEXT, 1)),
    },
    dimensions=whole(1),
    encoding_format=one_of("float", "base64"),
    user=ANY,
)
EMBEDDINGS = answer(
    {
        "object": always("list"),
        "data": list_of(
            answer(
                {
                    "object": always("embedding"),
                    "index": COUNT,
                    "embedding": either(list_of(NUMBER), about(TEXT, "Base64 of its values, four bytes each.")),
                }
            )
        ),
        "model": TEXT,
        "usage": answer({"prompt_tokens": COUNT, "total_tokens": COUNT}),
    }
)
MODEL = answer(
    {"id": TEXT, "object": always("model"), "created": COUNT, "owned_by": TEXT, "capabilities": list_of(TEXT)},
    context_length=COUNT,
)
_NAME = {"name": "model", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}

_ANSWER = "The whole answer; or a stream of events, whose data is a `Completion` each, and `[DONE]` at its end."

PATHS = {
    "/v1/completions": {
        "post": operation(
            "completions", "Complete prompts.", {200: content(_ANSWER, json=ref("Completion"), events=EVENT)},
            tag=TAG, error=OPENAI, requestBody=body(ref("CompletionRequest")),
        )
    },
    "/v1/embeddings": {
        "post": operation(
            "createEmbeddings", "Turn texts into vectors.", {200: content("The vectors.", json=ref("Embeddings"))},
            tag=TAG, error=OPENAI, requestBody=body(ref("EmbeddingsRequest")),
        )
    },
    "/v1/models": {
        "get": operation(
            "listModels", "List the models on this machine.",
            {200: content("They.", json=answer({"object": always("list"), "data": list_of(ref("OpenAIModel"))}))},
            tag=TAG, error=OPENAI,
        )
    },
    "/v1/models/{model}": {
        "parameters": [_NAME],
        "get": operation(
            "retrieveModel", "Say what a model is.", {200: content("It.", json=ref("OpenAIModel"))},
            tag=TAG, error=OPENAI,
        ),
    },
}  # fmt: skip
SCHEMAS = {
    "CompletionRequest": COMPLETION_REQUEST,
    "Completion": COMPLETION,
    "EmbeddingsRequest": EMBEDDINGS_REQUEST,
    "Embeddings": EMBEDDINGS,
    "OpenAIModel": MODEL,
}

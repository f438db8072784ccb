"""Requests that schemathesis makes up from an OpenAPI document: the server answers each as the document says.

Two documents are tried: our own, and Ollama's. The latter is not kept here. `TEST_OLLAMA_OPENAPI` says where it is.
"""

import json
import os
import shutil
from pathlib import Path

import hypothesis
import jsonschema
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.server.started import Started

pytestmark = pytest.mark.slow

OLLAMA = os.environ.get("TEST_OLLAMA_OPENAPI", "")
CASES = hypothesis.settings(
    max_examples=70,
    deadline=None,
    derandomize=True,
    phases=[hypothesis.Phase.generate],  # to look for the smallest request that fails takes minutes
    suppress_health_check=list(hypothesis.HealthCheck),
)
WITHIN_S = 300
NATIVE = ("/api/generate", "/api/chat")
LIMITS = {
    "/v1/chat/completions": "max_completion_tokens", "/v1/completions": "max_tokens", "/v1/messages": "max_tokens",
    "/v1/responses": "max_output_tokens",
}  # fmt: skip
TEXTS = (*NATIVE, *LIMITS, "/api/show", "/api/tokenize", "/api/detokenize", "/v1/messages/count_tokens")
VECTORS = ("/api/embed", "/api/embeddings", "/v1/embeddings")
LINES = "application/x-ndjson"
LEFT_OUT = ("/api/pull", "/api/push", "/api/events")  # two need another server, and the last one never ends


@pytest.fixture(scope="module")
def own_server(server_home, tmp_path_factory):
    """Return a server whose models may be changed."""
    folder = tmp_path_factory.mktemp("openapi")
    shutil.copytree(server_home, folder / "home", symlinks=True)
    with Started(folder / "home", folder / "log", OLPIPE_REGISTRY="off") as started:
        yield started


def try_all(document, server, checks, *, settings=CASES):
    """Fail with everything that goes wrong with the operations of a document."""
    wrong = []
    for result in document.exclude(path=list(LEFT_OUT)).get_all_operations():
        operation = result.ok()
        try:
            try_cases(document, operation, server, checks, settings)
        except (FailureGroup, jsonschema.ValidationError) as failure:
            wrong.append(f"{operation.label}: {failure}")
    if wrong:
        pytest.fail("\n\n".join(wrong), pytrace=False)


def try_cases(document, operation, server, checks, settings):
    of_lines = validator_of_lines(document.raw_schema, operation)

    @settings
    @hypothesis.given(case=operation.as_strategy())
    def try_case(case):
        aim(case)
        response = case.call_and_validate(base_url=server.url, checks=checks, timeout=WITHIN_S)
        if response.headers["content-type"] == [LINES]:
            for line in response.content.splitlines():
                of_lines.validate(json.loads(line))

    try_case()


def validator_of_lines(document, operation):
    """Return what validates each line of a stream; schemathesis looks only at whole bodies."""
    answer = document["paths"][operation.path][operation.method]["responses"].get("200", {})
    schema = answer.get("content", {}).get(LINES, {}).get("schema", False)
    schema = {"allOf": [schema], "components": document.get("components", {})}
    return jsonschema.Draft202012Validator(schema)


def aim(case):
    """Have a request ask for a short answer from a model that is there."""
    body = case.body
    if not isinstance(body, dict) or not isinstance(body.get("model"), str):
        return
    if case.path in VECTORS or case.path in TEXTS:
        body["model"] = "vectors" if case.path in VECTORS else "thinker"
    if isinstance(body.get("keep_alive"), int | float):  # to load the model anew for each request takes long
        body["keep_alive"] = 300
    if case.path in LIMITS:
        body[LIMITS[case.path]] = 3
    elif case.path in NATIVE:
        body["options"] = {**(body.get("options") or {}), "num_predict": 3}
        if isinstance(body.get("format"), str):  # Ollama's document allows any text, and Ollama itself does not
            body["format"] = "json"


@pytest.mark.skipif(not OLLAMA, reason="say with TEST_OLLAMA_OPENAPI where Ollama's OpenAPI document is")
def test_requests_of_ollamas_document_are_answered_as_it_says(own_server):
    checks = [not_a_server_error, content_type_conformance, response_schema_conformance]  # it lists no errors
    document = schemathesis.openapi.from_path(Path(OLLAMA))
    try_all(document, own_server, checks, settings=hypothesis.settings(CASES, max_examples=100))


def test_requests_of_our_document_are_answered_as_it_says(own_server):
    status, document = own_server.get("/openapi.json")
    assert status == 200
    checks = [
        not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance,
    ]  # fmt: skip
    try_all(schemathesis.openapi.from_dict(document), own_server, checks)

"""OpenAI's embeddings and models, asked for with OpenAI's own client."""

import base64
import json
import struct

import openai
import pytest
from openai.types import CreateEmbeddingResponse, Model

from tests.server.openai_checks import checked

PATH = "/v1/embeddings"


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def vectors(client, texts, **more):
    raw = client.embeddings.with_raw_response.create(model="vectors", input=texts, encoding_format="float", **more)
    found = checked(CreateEmbeddingResponse, json.loads(raw.text))
    assert [one.index for one in found.data] == list(range(len(found.data)))
    return found


def test_vectors_come_in_the_order_of_the_texts(client):
    both = vectors(client, ["the cat", "a dog"])
    alone = [vectors(client, text).data[0].embedding for text in ("the cat", "a dog")]
    assert both.model == "vectors"
    assert [one.embedding for one in both.data] == [pytest.approx(vector, abs=1e-5) for vector in alone]
    assert both.usage.total_tokens == both.usage.prompt_tokens > 0
    assert [sum(value * value for value in one.embedding) for one in both.data] == pytest.approx([1, 1], abs=1e-3)


def test_base64_holds_the_same_values(server, client):
    _, body = server.post(PATH, {"model": "vectors", "input": "the cat", "encoding_format": "base64"})
    data = base64.b64decode(body["data"][0]["embedding"])
    floats = vectors(client, "the cat").data[0].embedding
    assert struct.unpack(f"<{len(data) // 4}f", data) == pytest.approx(floats, abs=1e-6)
    usual = client.embeddings.create(model="vectors", input="the cat").data[0].embedding  # the client asks for base64
    assert list(usual) == pytest.approx(floats, abs=1e-6)


def test_dimensions_cut_the_vectors(client):
    (whole,), (cut,) = vectors(client, "the cat").data, vectors(client, "the cat", dimensions=4).data
    assert len(cut.embedding) == 4
    length = sum(value * value for value in whole.embedding[:4]) ** 0.5
    assert cut.embedding == pytest.approx([value / length for value in whole.embedding[:4]], abs=1e-4)


def test_an_empty_text_has_a_vector(client):
    assert len(vectors(client, "").data) == 1


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"input": None}, "invalid input"),
        ({"input": []}, "invalid input"),
        ({"input": 3}, "invalid input type"),
        ({"input": ["a", 3]}, "invalid input type"),
        ({"input": [1, 2]}, "`input` is a list of tokens, which is not supported"),
        ({"dimensions": 0}, "`dimensions` cannot be 0: it must be at least 1"),
        ({"model": ""}, "model is required"),
        ({"encoding_format": "int"},
         "Invalid value for 'encoding_format' = int. Supported values: ['float', 'base64']."),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused(server, changes, told):
    status, body = server.post(PATH, {"model": "vectors", "input": "a", **changes})
    assert (status, body["error"]["type"]) == (400, "invalid_request_error"), body
    assert told in body["error"]["message"]


def test_every_model_is_listed_with_what_it_can_do(server, client):
    listed = [checked(Model, model.to_dict()) for model in client.models.list()]
    assert {"tiny:latest", "seer:latest", "vectors:latest"} <= {model.id for model in listed}
    by_name = {model.id: model for model in listed}
    assert by_name["tiny:latest"].owned_by == "library"
    assert by_name["tiny:latest"].context_length == 2048
    assert by_name["vectors:latest"].capabilities == ["embedding"]
    assert "vision" in by_name["seer:latest"].capabilities
    assert {"tools", "thinking"} <= set(by_name["thinker:latest"].capabilities)
    one = checked(Model, client.models.retrieve("tiny").to_dict())
    assert one.to_dict() == {**by_name["tiny:latest"].to_dict(), "id": "tiny"}
    assert server.get("/v1/models/library/tiny:latest")[1]["id"] == "library/tiny:latest"


def test_a_model_that_is_not_here_is_told_with_its_tag(client):
    with pytest.raises(openai.NotFoundError, match="model 'nobody:latest' not found"):
        client.models.retrieve("nobody")

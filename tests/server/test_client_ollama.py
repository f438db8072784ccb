"""The client `ollama` of PyPI, waiting and not, whose types validate every body and every line."""

import asyncio
import inspect
from contextlib import closing
from datetime import datetime

import ollama
import pydantic
import pytest

from olpipe.testing.images import photo
from olpipe.testing.models import write_tiny_gguf
from tests.server.started import Started
from tests.store.registry_server import RegistryServer

OPTIONS = {"num_predict": 6, "seed": 1, "temperature": 0}
SAYING = [{"role": "user", "content": "the cat"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather", "description": "Tell the weather.",
        "parameters": {"type": "object", "required": ["place"], "properties": {"place": {"type": "string"}}},
    },
}  # fmt: skip


class Waiting:
    """Calls the methods of `Client`; the parts of a stream come as a list."""

    def __init__(self, url):
        self._client = ollama.Client(url)

    def __call__(self, method, **arguments):
        found = getattr(self._client, method)(**arguments)
        return list(found) if inspect.isgenerator(found) else found

    def close(self):
        self._client.close()


class NotWaiting:
    """Calls the methods of `AsyncClient` in the same way."""

    def __init__(self, url):
        self._runner = asyncio.Runner()
        self._client = ollama.AsyncClient(url)

    def __call__(self, method, **arguments):
        return self._runner.run(self._call(method, arguments))

    async def _call(self, method, arguments):
        found = await getattr(self._client, method)(**arguments)
        return [part async for part in found] if inspect.isasyncgen(found) else found

    def close(self):
        self._runner.run(self._client.close())
        self._runner.close()


@pytest.fixture(params=[Waiting, NotWaiting])
def call(request, server):
    calling = request.param(server.url)
    yield calling
    calling.close()


@pytest.fixture(params=[Waiting, NotWaiting])
def change(request, workshop):
    """Return the same for a server whose models may be changed."""
    changing = request.param(workshop.url)
    yield changing
    changing.close()


@pytest.fixture(scope="module")
def registered(tmp_path_factory):
    """Return a registry that has the model `tiny`, and a server that pulled it from there."""
    home = tmp_path_factory.mktemp("registered")
    with RegistryServer() as registry, Started(home, home / "log", OLPIPE_REGISTRY=registry.url) as server:
        weights = write_tiny_gguf(home / "tiny.gguf").read_bytes()
        registry.put("library/tiny", [registry.layer(weights)])
        assert server.post("/api/pull", {"model": "tiny", "stream": False})[0] == 200
        yield registry, server


def said(parts):
    return "".join(
        part.response if isinstance(part, ollama.GenerateResponse) else part.message.content for part in parts
    )


@pytest.mark.parametrize(
    ("method", "asked"), [("generate", {"prompt": "the cat"}), ("chat", {"messages": SAYING})], ids=["generate", "chat"]
)
def test_an_answer_comes_whole_and_in_parts(call, method, asked):
    whole = call(method, model="tiny", options=OPTIONS, **asked)
    parts = call(method, model="tiny", options=OPTIONS, stream=True, **asked)
    assert said(parts) == said([whole]) != ""
    assert (whole.done, whole.done_reason, whole.eval_count) == (True, "length", 6)
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]
    assert parts[-1].eval_count == 6
    assert min(parts[-1].total_duration, parts[-1].prompt_eval_count, parts[-1].eval_duration) > 0
    assert datetime.fromisoformat(whole.created_at).tzinfo is not None


def test_an_answer_can_be_held_to_a_type(call):
    class Animal(pydantic.BaseModel):
        legs: int
        tame: bool

    for method, asked in (("generate", {"prompt": "the cat"}), ("chat", {"messages": SAYING})):
        answer = call(method, model="tiny", format=Animal.model_json_schema(), **asked)
        Animal.model_validate_json(said([answer]))


@pytest.mark.parametrize("think", [True, False, "low", None])
def test_a_model_can_think_and_have_tools(call, think):
    parts = call("chat", model="thinker", messages=SAYING, tools=[WEATHER], think=think, options=OPTIONS, stream=True)
    assert parts[-1].done
    assert isinstance(call("generate", model="thinker", prompt="the cat", think=think, options=OPTIONS).response, str)


def test_a_tool_may_be_a_function_of_python(call):
    def add(first: int, second: int) -> int:
        """Add two numbers."""
        return first + second

    called = ollama.Message.ToolCall(
        function=ollama.Message.ToolCall.Function(name="add", arguments={"first": 1, "second": 2})
    )
    messages = [
        *SAYING,
        ollama.Message(role="assistant", tool_calls=[called]),
        ollama.Message(role="tool", tool_name="add", content="3"),
    ]
    assert call("chat", model="thinker", messages=messages, tools=[add], options=OPTIONS).done


def test_logprobs_are_told(call):
    whole = call("chat", model="tiny", messages=SAYING, options=OPTIONS, logprobs=True, top_logprobs=2)
    assert len(whole.logprobs) == 6
    assert all(len(one.top_logprobs) == 2 and one.logprob <= 0 for one in whole.logprobs)


def test_a_photo_may_be_bytes_or_a_file(call, tmp_path):
    file = tmp_path / "photo.jpg"
    file.write_bytes(photo(64, 32))
    for image in (photo(64, 32), str(file)):
        looking = [{"role": "user", "content": "what is it?", "images": [image]}]
        chat = call("chat", model="seer", messages=looking, options=OPTIONS)
        generate = call("generate", model="seer", prompt="what is it?", images=[image], options=OPTIONS)
        assert said([chat]) == said([generate])


def test_texts_become_vectors(call):
    one = call("embed", model="vectors", input="the cat", dimensions=8)
    several = call("embed", model="vectors", input=["the cat", "a dog"])
    assert (len(one.embeddings), len(one.embeddings[0]), len(several.embeddings)) == (1, 8, 2)
    assert several.prompt_eval_count > one.prompt_eval_count > 0
    assert len(call("embeddings", model="vectors", prompt="the cat").embedding) == len(several.embeddings[0])


def test_models_are_listed_and_shown(call):
    models = {model.model: model for model in call("list").models}
    assert {"tiny:latest", "thinker:latest", "seer:latest", "vectors:latest"} <= models.keys()
    listed, shown = models["tiny:latest"], call("show", model="tiny")
    assert (listed.details.family, listed.details.format) == ("llama", "gguf")
    assert listed.modified_at == shown.modified_at
    assert listed.size > 0
    assert listed.details.parameter_size == shown.details.parameter_size
    assert "completion" in shown.capabilities
    assert shown.modelinfo["general.architecture"] == "llama"
    assert shown.modelfile.startswith("#")
    assert {"thinking", "tools"} <= set(call("show", model="thinker").capabilities)
    assert "vision" in call("show", model="seer").capabilities
    assert call("show", model="vectors").capabilities == ["embedding"]


def test_loaded_models_are_listed(call):
    call("generate", model="tiny", prompt="", keep_alive="10m")
    loaded = {model.model: model for model in call("ps").models}["tiny:latest"]
    assert loaded.name == "tiny:latest"
    assert loaded.expires_at.tzinfo is not None
    assert loaded.context_length == 2048
    assert loaded.size > 0


def test_models_can_be_made_copied_and_deleted(change):
    made = change("create", model="client-made", from_="tiny", system="in the street", parameters={"seed": 3})
    assert made.status == "success"
    shown = change("show", model="client-made")
    assert "in the street" in shown.modelfile
    assert "seed" in shown.parameters
    statuses = [one.status for one in change("create", model="client-made", from_="tiny", stream=True)]
    assert statuses[-2:] == ["writing manifest", "success"]

    assert change("copy", source="client-made", destination="client-copied").status == "success"
    assert change("delete", model="client-made").status == "success"
    names = {model.model for model in change("list").models}
    assert ("client-copied:latest" in names, "client-made:latest" in names) == (True, False)
    assert said([change("generate", model="client-copied", prompt="the cat", options=OPTIONS)])
    assert change("delete", model="client-copied").status == "success"


def test_a_model_can_be_made_of_a_file(change, tmp_path):
    digest = change("create_blob", path=write_tiny_gguf(tmp_path / "model.gguf", seed=5))
    assert change("create", model="client-file", files={"model.gguf": digest}).status == "success"
    assert said([change("generate", model="client-file", prompt="the cat", options=OPTIONS)])
    assert change("delete", model="client-file").status == "success"


def test_a_model_can_be_pulled(change, shelf):
    write_tiny_gguf(shelf / "client-pulled.gguf", seed=9)
    parts = change("pull", model="client-pulled", stream=True)
    assert (parts[0].status, parts[-1].status) == ("pulling manifest", "success")
    assert change("pull", model="client-pulled").status == "success"
    assert said([change("generate", model="client-pulled", prompt="the cat", options=OPTIONS)])
    assert change("delete", model="client-pulled").status == "success"


@pytest.mark.parametrize("calling", [Waiting, NotWaiting])
def test_a_model_can_be_pushed_and_pulled_again(calling, registered):
    registry, server = registered
    name = f"{registry.host}/me/{calling.__name__.lower()}:v1"
    with closing(calling(server.url)) as call:
        call("copy", source="tiny", destination=name)
        parts = call("push", model=name, insecure=True, stream=True)
        assert (parts[0].status, parts[-1].status) == ("retrieving manifest", "success")
        assert max(part.total or 0 for part in parts) > 100_000
        assert call("push", model=name, insecure=True).status == "success"
        call("delete", model=name)
        assert call("pull", model=name, insecure=True).status == "success"
        assert said([call("generate", model=name, prompt="the cat", options=OPTIONS)])


def test_errors_have_a_status(call):
    for method, asked in (("generate", {"prompt": "x"}), ("chat", {"messages": SAYING}), ("show", {})):
        with pytest.raises(ollama.ResponseError, match=r"model 'nobody(:latest)?' not found") as raised:
            call(method, model="nobody", **asked)
        assert raised.value.status_code == 404
    with pytest.raises(ollama.ResponseError) as raised:
        call("chat", model="tiny", messages=SAYING, options={"temperature": "hot"})
    assert raised.value.status_code == 400

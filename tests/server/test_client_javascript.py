"""Clients of npm, which Node.js runs against the server: each check of `javascript/` is a test here.

They are `ollama`, `openai`, `@anthropic-ai/sdk`, and `ai` with `ollama-ai-provider-v2`, `@ai-sdk/openai-compatible`
and, in an older version, `ollama-ai-provider`.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from olpipe.testing.images import photo

pytestmark = pytest.mark.slow  # npm installs the clients

SCRIPTS = Path(__file__).parent / "javascript"
LEAST_NODE = 20


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """Return a folder with the scripts and the packages that they need."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("Node.js with npm is not installed")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(re.match(r"v(\d+)", version)[1]) < LEAST_NODE:
        pytest.skip(f"Node.js is {version}, and the clients need {LEAST_NODE}")
    folder = shutil.copytree(SCRIPTS, tmp_path_factory.mktemp("npm") / "javascript")
    for project in (folder, folder / "older"):
        install = [
            npm,
            "install",
            "--no-audit",
            "--no-fund",
            "--no-package-lock",
            "--ignore-scripts",
            "--loglevel=error",
        ]
        ended = subprocess.run(install, cwd=project, capture_output=True, text=True)
        assert ended.returncode == 0, f"npm cannot install the clients:\n{ended.stderr}"
    return folder


@pytest.fixture(scope="module")
def found(installed, server, tmp_path_factory):
    """Return what each check found."""
    image = tmp_path_factory.mktemp("photo") / "photo.jpg"
    image.write_bytes(photo(64, 32))
    results = {}
    for script in ("clients.mjs", "older/clients.mjs"):
        command = ["node", str(installed / script), server.url, str(image)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert ended.returncode == 0, ended.stderr
        results |= json.loads(ended.stdout)
    return results


@pytest.fixture(scope="module")
def text(server):
    """Return the answer that every client gets."""
    options = {"num_predict": 6, "temperature": 0, "seed": 1}
    messages = [{"role": "user", "content": "the cat"}]
    body = {"model": "tiny", "messages": messages, "options": options, "stream": False}
    return server.post("/api/chat", body)[1]["message"]["content"]


@pytest.mark.parametrize(
    "name",
    [
        "ollama chat", "ollama chat in parts", "openai chat in parts", "openai responses", "openai responses in parts",
        "anthropic message", "anthropic message in parts", "provider text", "provider text in parts", "compatible text",
        "older text", "older text in parts",
    ],
)  # fmt: skip
def test_an_answer_is_the_same_for_every_client(found, name, text):
    assert found[name] == {"value": text}


def test_a_prompt_is_answered_whole_and_in_parts(found):
    assert found["ollama generate"] == found["ollama generate in parts"]
    assert found["ollama generate"]["value"]


@pytest.mark.parametrize(
    "name",
    [
        "ollama format",
        "openai parse",
        "provider object",
        "provider object in parts",
        "compatible object",
        "older object",
    ],
)
def test_an_answer_is_held_to_a_schema(found, name):
    animal = found[name]["value"]
    assert [*animal] == ["legs", "tame"]
    assert isinstance(animal["legs"], int)
    assert isinstance(animal["tame"], bool)


def test_a_tool_is_called(found):
    assert set(found["anthropic tool"]["value"]) == {"legs", "tame"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ollama photo", True),
        ("ollama embed", 2),
        ("ollama show", ["completion"]),
        ("ollama ps", True),
        ("ollama version", "string"),
        ("openai usage in parts", 6),
        ("openai embeddings", 2),
        ("anthropic tokens", True),
        ("provider limit", 6),
        ("provider vectors", 2),
    ],
)
def test_a_value_comes_through(found, name, value):
    assert found[name] == {"value": value}


def test_a_chat_completion_ends_as_asked(found, text):
    choice = found["openai chat"]["value"]
    assert (choice["message"]["content"], choice["finish_reason"]) == (text, "length")


@pytest.mark.parametrize("name", ["ollama list", "openai models"])
def test_models_are_listed(found, name):
    assert {"tiny", "thinker", "seer", "vectors"} <= {model.removesuffix(":latest") for model in found[name]["value"]}


def test_vectors_have_the_same_length(found):
    assert found["provider vector"] == found["older vector"]


@pytest.mark.parametrize("name", ["ollama abort", "openai abort", "anthropic abort", "provider abort"])
def test_a_client_can_leave(found, name, server):
    assert found[name]["value"] in ("AbortError", "ended")
    assert server.post("/api/generate", {"model": "tiny", "prompt": "the cat", "stream": False})[0] == 200


@pytest.mark.parametrize(
    "name", ["ollama error", "openai error", "anthropic error", "provider error", "older error"]
)  # fmt: skip
def test_an_error_says_what_is_wrong(found, name):
    assert "model 'nobody' not found" in found[name]["error"]
    assert found[name]["status"] == 404

"""Ask llama.cpp about a model, for comparisons. It is another implementation, which reads the same GGUF files.

It comes with the package `xllamacpp`, and runs in a process of its own: what it logs is kept apart, and it may crash.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olpipe.convert.gguf import read_header
from olpipe.decoding.prompt import Prompt
from olpipe.decoding.vocabulary import Vocabulary
from olpipe.interfaces.vision import Layout

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

IMAGE = "\ufffc"
"""What stands for an image in the text of a question."""

_SEEDS = 40
"""How often to ask again where the sampled token ends the answer: then the server tells no probabilities."""

_SECONDS = 300
"""How long all questions together may take."""

_LOCAL = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Opens addresses on this machine, whatever proxy is set."""


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt.

    Attributes:
        text: The prompt with its special tokens, and `IMAGE` for each image. llama.cpp itself adds the token that every
            text begins with, and the marks around an image.
        images: The images, as the bytes of PNG or JPEG files.
    """

    text: str
    images: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Outlook:
    """What llama.cpp expects behind a prompt.

    Attributes:
        tokens: How many tokens the prompt has.
        log_probabilities: Of each token of the vocabulary as the next one, (vocab_size,).
    """

    tokens: int
    log_probabilities: npt.NDArray[np.float64]


def question_of(
    text: Path, prompt: Prompt, vocabulary: Vocabulary, layouts: Sequence[Layout] = (), images: Sequence[bytes] = ()
) -> Question:
    """Return a prompt of ours as a question to llama.cpp.

    Args:
        text: The GGUF file of the text model.
        prompt: The prompt.
        vocabulary: The tokens of the model.
        layouts: What stands for each image. The line breaks around an image stay in the text, the marks do not.
        images: The images as files.
    """
    metadata = read_header(text).metadata
    tokens = metadata["tokenizer.ggml.tokens"]
    special = vocabulary.special_in(tokens)
    said, at, after = "", 0, ""
    for placed, layout in zip(prompt.images, layouts, strict=True):
        piece = vocabulary.bytes_of(prompt.tokens[at : placed.start], visible=special).decode()
        said += piece.removeprefix(after).removesuffix(layout.before.strip("\n")) + IMAGE
        at, after = placed.end, layout.after.strip("\n")
    said += vocabulary.bytes_of(prompt.tokens[at:], visible=special).decode().removeprefix(after)
    if metadata.get("tokenizer.ggml.add_bos_token"):
        said = said.removeprefix(tokens[metadata["tokenizer.ggml.bos_token_id"]])
    return Question(said, tuple(images))


def outlooks(
    text: Path, projector: Path | None, questions: Sequence[Question], *, context_length: int = 2048
) -> list[Outlook]:
    """Return what llama.cpp expects behind each question. It computes in 32 bits where it can.

    Args:
        text: The GGUF file of the text model.
        projector: That of the vision encoder; None for a model that reads texts only.
        questions: The questions.
        context_length: Tokens of the context.

    Raises:
        ModuleNotFoundError: `xllamacpp` is not installed.
        RuntimeError: llama.cpp refused a question, crashed, or took too long. The message is the end of its log.
    """
    import numpy as np

    task = {
        "text": str(text),
        "projector": None if projector is None else str(projector),
        "context_length": context_length,
        "vocab_size": len(read_header(text).metadata["tokenizer.ggml.tokens"]),
        "questions": [[one.text, [base64.b64encode(each).decode() for each in one.images]] for one in questions],
    }
    with tempfile.TemporaryDirectory() as folder:
        answers = Path(folder) / "answers.json"
        _run_apart([sys.executable, "-m", __name__, str(answers)], json.dumps(task))
        return [Outlook(tokens, np.array(values)) for tokens, values in json.loads(answers.read_text())]


def _run_apart(command: Sequence[str], task: str) -> None:
    """Run a process that gets a text on its standard input."""
    if find_spec("xllamacpp") is None:
        raise ModuleNotFoundError("llama.cpp is not installed: the package `xllamacpp` brings it")
    try:
        ended = subprocess.run(command, input=task, capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"llama.cpp took more than {_SECONDS} seconds") from error
    if ended.returncode:
        raise RuntimeError(f"llama.cpp ended with status {ended.returncode}: {ended.stderr[-2000:]}")


def main() -> None:
    """Answer the questions on the standard input, and write the answers into the file that is named."""
    task = json.load(sys.stdin)
    server = _server(task)
    with _LOCAL.open(f"{server.listening_address}/props") as reply:
        mark = json.load(reply)["media_marker"]
    answers = []
    for text, images in task["questions"]:
        prompt = {"prompt_string": text.replace(IMAGE, mark), "multimodal_data": images} if images else text
        answers.append(_answer(server.listening_address, prompt, task["vocab_size"]))
    Path(sys.argv[1]).write_text(json.dumps(answers))


def _server(task: dict[str, Any]) -> Any:
    """Start a server in this process. It computes as little as possible in 16 bits."""
    import xllamacpp

    wanted = xllamacpp.CommonParams()
    wanted.model.path = task["text"]
    if task["projector"] is not None:
        wanted.mmproj.path, wanted.mmproj_use_gpu = task["projector"], False
    wanted.n_gpu_layers = 0
    wanted.n_ctx, wanted.n_parallel, wanted.cpuparams.n_threads = task["context_length"], 1, 1
    wanted.port, wanted.verbosity, wanted.warmup, wanted.use_jinja = 0, 1, False, False
    wanted.cache_prompt, wanted.swa_full = False, True
    wanted.cache_type_k = wanted.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    wanted.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    return xllamacpp.Server(wanted)


def _answer(address: str, prompt: object, vocab_size: int) -> tuple[int, list[float]]:
    """Return the number of tokens of a prompt, and the log-probability of each token as the next one."""
    sampling = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "samplers": ["temperature"]}
    for seed in range(_SEEDS):
        asked = {"prompt": prompt, "n_predict": 1, "n_probs": vocab_size, "cache_prompt": False, "seed": seed}
        request = urllib.request.Request(
            f"{address}/completion", json.dumps(asked | sampling).encode(), {"Content-Type": "application/json"}
        )
        with _LOCAL.open(request) as reply:
            answer = json.load(reply)
        if found := list(_listed(answer)):
            by_token = dict(found)
            return answer["tokens_evaluated"], [by_token[token] for token in range(vocab_size)]
    raise RuntimeError(f"every answer ended at once, {_SEEDS} times")


def _listed(answer: dict[str, Any]) -> Iterator[tuple[int, float]]:
    """Yield the tokens and their log-probabilities that an answer lists for its first token."""
    for one in answer.get("completion_probabilities", [])[:1]:
        for each in one["top_logprobs"]:
            yield each["id"], each["logprob"]


if __name__ == "__main__":
    main()

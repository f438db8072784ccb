"""A real model with random weights, its vocabulary, grammars for it, and what drives a decoder through it."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from olpipe.convert.package import convert_gguf
from olpipe.decoding.answer import Answer
from olpipe.decoding.constraint import Constraint
from olpipe.decoding.decoder import Decoder, Run
from olpipe.decoding.logprobs import Scorer
from olpipe.decoding.names import Names
from olpipe.decoding.prompt import Prompt
from olpipe.decoding.sampler import Sampler
from olpipe.decoding.steps import FreeSteps, GuidedSteps, Picker, Step
from olpipe.decoding.vocabulary import Vocabulary
from olpipe.default_plugins.ort_genai.sequence import GeneratorSequence
from olpipe.generation import Guidance, SamplingParams
from olpipe.guidance.grammar import Grammars
from olpipe.guidance.outline import Outline
from olpipe.testing.models import build_tiny_package, write_tiny_gguf

MARKS = (
    *("<think>", "</think>", "<tool_call>", "</tool_call>", "<|tool_call|>", "<|/tool_call|>"),
    *("[TOOL_CALLS]", "[ARGS]", "<|python_tag|>"),
)


class Watched:
    """Steps that are kept while a decoder takes them; those that add nothing are left out."""

    def __init__(self, steps):
        self._steps, self.taken = steps, []

    def begin(self):
        return self._keep(self._steps.begin())

    def next(self, logits):
        return self._keep(self._steps.next(logits))

    def _keep(self, step):
        if step.tokens or step.finish_reason is not None:
            self.taken.append(step)
        return step


@dataclass
class Decoded:
    """One answer: what the decoder returned, and the steps that it went."""

    runs: list[Run]
    steps: list[Step]

    @property
    def text(self):
        return "".join(run.chunk.text for run in self.runs if run.chunk)

    @property
    def last(self):
        return self.runs[-1].chunk


class TinyModel:
    """A tiny package, loaded; makes sequences, constraints and whole answers."""

    def __init__(self, folder):
        import onnxruntime_genai

        self._runtime = onnxruntime_genai
        self._model = onnxruntime_genai.Model(str(folder))
        config = json.loads((folder / "genai_config.json").read_text())["model"]
        end_tokens = config["eos_token_id"]
        self.tokenizer_json = (folder / "tokenizer.json").read_text()
        self.vocabulary = Vocabulary(
            self.tokenizer_json,
            size=config["vocab_size"],
            end_tokens=end_tokens if isinstance(end_tokens, list) else [end_tokens],
        )
        self.grammars = Grammars(self.vocabulary.tokenizer)

    def sequence(self, max_length=1024):
        return GeneratorSequence(self._runtime, self._model, max_length=max_length)

    def constraint(self, schema):
        guidance = Guidance("json_schema", json.dumps(schema))
        names = Names() if self.grammars.makes_up_names(guidance) else None
        return Constraint(self.grammars.matcher(guidance), self.vocabulary, Outline(), names)

    def pattern(self, expression):
        return Constraint(self.grammars.matcher(Guidance("regex", expression)), self.vocabulary, None)

    def vocabulary_with(self, added):
        """Return the vocabulary with more tokens, given by spelling, each with whether it is special."""
        content, size = json.loads(self.tokenizer_json), self.vocabulary.size
        flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
        for token, (spelling, special) in enumerate(added.items(), start=size):
            content["added_tokens"].append({"id": token, "content": spelling, "special": special, **flags})
            content["model"]["vocab"][spelling] = token
        ends = sorted(self.vocabulary.end_tokens)
        return Vocabulary(json.dumps(content), size=size + len(added), end_tokens=ends)

    def prompt(self, text):
        return Prompt(tuple(self.vocabulary.encode(text)))

    def decode(self, constraint=None, *, prompt="photo", sequence=None, top=None, stop=(), **sampling):
        """Answer a prompt with what the sequence says.

        Args:
            constraint: What the answer is held to.
            prompt: The prompt's text.
            sequence: Runs the tokens; a new one of the model by default.
            top: Likeliest tokens to list beside each of the answer.
            stop: Texts that end the answer.
            **sampling: How tokens are picked.
        """
        given, sequence = self.prompt(prompt), sequence or self.sequence()
        params = SamplingParams(**sampling)
        room = sequence.capacity - len(given)
        picker = Picker(Sampler(params), None if top is None else Scorer(self.vocabulary, top))
        if constraint is None:
            steps = Watched(FreeSteps(self.vocabulary, picker, min(params.max_tokens, room)))
        else:
            guided = GuidedSteps(self.vocabulary, picker, constraint, max_tokens=params.max_tokens, room=room)
            steps = Watched(guided)
        decoder = Decoder(steps, Answer(self.vocabulary, prompt_tokens=len(given), stop=stop))
        return Decoded(follow(decoder, sequence, given), steps.taken)


def follow(decoder, sequence, prompt):
    """Run a decoder to its end, as its documentation says."""
    runs = [decoder.begin()]
    if not runs[-1].finished:
        logits = sequence.prefill(prompt.followed_by(runs[-1].tokens), 0)
        runs.append(decoder.next(logits))
    while not runs[-1].finished:
        logits = sequence.decode(runs[-1].tokens)
        runs.append(decoder.next(logits))
    return runs


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    return TinyModel(build_tiny_package(tmp_path_factory.mktemp("tiny") / "package"))


@pytest.fixture(scope="session")
def marked(tmp_path_factory):
    """Return a tiny model whose vocabulary has the special tokens that mark thinking and tool calls."""
    folder = tmp_path_factory.mktemp("marked")
    gguf = write_tiny_gguf(folder / "marked.gguf", special=MARKS)
    (folder / "package").mkdir()
    convert_gguf(gguf, folder / "package", progress=lambda _: None)
    return TinyModel(folder / "package")

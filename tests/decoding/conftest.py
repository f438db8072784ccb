"""A real model with random weights, its vocabulary, and grammars for it."""

from __future__ import annotations

import json

import pytest

from olpipe.decoding.constraint import Constraint
from olpipe.decoding.vocabulary import Vocabulary
from olpipe.default_plugins.ort_genai.logits import GeneratorLogits
from olpipe.generation import Guidance
from olpipe.guidance.grammar import Grammars
from olpipe.guidance.outline import Outline
from olpipe.testing.models import build_tiny_package


class TinyModel:
    """A tiny package, loaded; makes sequences and constraints."""

    def __init__(self, folder):
        import onnxruntime_genai

        self._runtime = onnxruntime_genai
        self._model = onnxruntime_genai.Model(str(folder))
        config = json.loads((folder / "genai_config.json").read_text())["model"]
        end_tokens = config["eos_token_id"]
        self.vocabulary = Vocabulary(
            (folder / "tokenizer.json").read_text(),
            size=config["vocab_size"],
            end_tokens=end_tokens if isinstance(end_tokens, list) else [end_tokens],
        )
        self.grammars = Grammars(self.vocabulary.tokenizer)

    def sequence(self, max_length=1024):
        return GeneratorLogits(self._runtime, self._model, max_length=max_length)

    def constraint(self, schema):
        matcher = self.grammars.matcher(Guidance("json_schema", json.dumps(schema)))
        return Constraint(matcher, self.vocabulary, Outline())

    def pattern(self, expression):
        return Constraint(self.grammars.matcher(Guidance("regex", expression)), self.vocabulary, None)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    return TinyModel(build_tiny_package(tmp_path_factory.mktemp("tiny") / "package"))

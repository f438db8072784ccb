"""What a text package's runners begin with: its settings, and requests as token ids with their grammars."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from olpipe.decoding.constraint import Constraint
from olpipe.decoding.logits_model import LogitsModel
from olpipe.decoding.logprobs import Scorer
from olpipe.decoding.loop import Run, decode
from olpipe.decoding.sampler import Sampler
from olpipe.decoding.vocabulary import Vocabulary
from olpipe.errors import ContextExceeded, ModelCorrupt, ModelUnsupported, UsageError
from olpipe.generation import GenerateRequest, Guidance, SamplingParams
from olpipe.guidance.grammar import Grammars
from olpipe.guidance.outline import Outline
from olpipe.guidance.schema import property_order, read_schema
from olpipe.guidance.splice import Splicer
from olpipe.interfaces import Prepared
from olpipe.messages import Message
from olpipe.model import LoadOptions, ModelBundle

# Room in the KV cache beyond prompt and budget: a forced run may start just inside the budget.
_SLACK = 64

# What takes a word to avoid out of the question, but not out of a grammar that asks for nothing else.
_AVOIDED = -1000.0


@dataclass(frozen=True, slots=True)
class TextPrompt(Prepared):
    """A request as token ids, with its grammar compiled."""

    tokens: tuple[int, ...]
    request: GenerateRequest
    constraint: Constraint | None
    splicer: Splicer | None
    scorer: Scorer | None
    prepare_ns: int


class Prompts:
    """Makes the requests of one text package ready.

    Attributes:
        context_length: Tokens of prompt plus answer.
        vocabulary: The model's tokens.
    """

    def __init__(self, package: Path, bundle: ModelBundle, options: LoadOptions, tokenizer: Any) -> None:
        """Read the package's settings and vocabulary.

        Args:
            package: Its folder.
            bundle: The model it was made from.
            options: How to load it.
            tokenizer: onnxruntime-genai's, for the chat template.

        Raises:
            ModelCorrupt: The settings cannot be used.
        """
        settings = read_settings(package, bundle)
        try:
            end_tokens, size, limit = settings["eos_token_id"], settings["vocab_size"], settings["context_length"]
        except KeyError as error:
            raise _unusable(bundle, error) from error
        self._system = bundle.system
        self._tokenizer = tokenizer
        self.context_length: int = min(options.context_length or limit, limit)
        self.vocabulary = Vocabulary(
            (package / "tokenizer.json").read_text(encoding="utf-8"),
            size=size,
            end_tokens=end_tokens if isinstance(end_tokens, list) else [end_tokens],
        )
        self._grammars = Grammars(self.vocabulary.tokenizer)

    def prepare(self, request: GenerateRequest) -> TextPrompt:
        """Render the chat template, tokenise, and compile the grammar."""
        started = time.perf_counter_ns()
        if any(message.images for message in request.messages):
            raise UsageError(f"model `{request.model}` cannot see images", hint="name perceivers with `--evidence`")
        tokens = tuple(self.vocabulary.encode(self._render(request.messages)))
        if len(tokens) >= self.context_length:
            raise ContextExceeded(
                f"the prompt has {len(tokens)} tokens, and `{request.model}` holds {self.context_length}",
                hint="shorten the prompt",
            )
        constraint = splicer = None
        if request.guidance is not None:
            outline = Outline() if request.guidance.kind in ("json", "json_schema") else None
            constraint = Constraint(self._grammars.matcher(request.guidance), self.vocabulary, outline)
            splicer = _splicer(request.guidance)
        scorer = None if request.top_logprobs is None else Scorer(self.vocabulary, request.top_logprobs)
        elapsed = time.perf_counter_ns() - started
        return TextPrompt(len(tokens), tokens, request, constraint, splicer, scorer, elapsed)

    def decode(self, model: LogitsModel, prompt: TextPrompt) -> Iterator[Run]:
        """Return the answer's tokens, decoded as they are asked for."""
        sampling = self._sampling(prompt.request)
        return decode(
            model,
            prompt.tokens,
            vocabulary=self.vocabulary,
            sampler=Sampler(sampling),
            max_tokens=sampling.max_tokens,
            constraint=prompt.constraint,
            scorer=prompt.scorer,
        )

    def _sampling(self, request: GenerateRequest) -> SamplingParams:
        """Return how a request's tokens are picked, with the words to avoid as biases."""
        if not request.avoid:
            return request.sampling
        avoided = ((token, _AVOIDED) for token in sorted(self.vocabulary.spellings(request.avoid)))
        return replace(request.sampling, logit_bias=(*request.sampling.logit_bias, *avoided))

    def room(self, prompt: TextPrompt) -> int:
        """Return how many tokens of KV cache a prompt and its answer need."""
        return min(prompt.prompt_tokens + prompt.request.sampling.max_tokens + _SLACK, self.context_length)

    def _render(self, messages: Sequence[Message]) -> str:
        turns = [{"role": message.role, "content": self.vocabulary.quote(message.text)} for message in messages]
        if self._system and all(turn["role"] != "system" for turn in turns):
            turns.insert(0, {"role": "system", "content": self._system})
        return str(self._tokenizer.apply_chat_template(orjson.dumps(turns).decode(), add_generation_prompt=True))


def read_settings(package: Path, bundle: ModelBundle) -> dict[str, Any]:
    """Return what a package's `genai_config.json` says of its model.

    Raises:
        ModelCorrupt: It does not say what a model needs.
        ModelUnsupported: The model is no text decoder.
    """
    try:
        settings: dict[str, Any] = orjson.loads((package / "genai_config.json").read_bytes())["model"]
        decodes_text = "vision" not in settings and "decoder" in settings
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise _unusable(bundle, error) from error
    if not decodes_text:
        raise ModelUnsupported(f"`{bundle.name}` is of type `{settings.get('type')}`, not a text decoder")
    return settings


def _unusable(bundle: ModelBundle, error: Exception) -> ModelCorrupt:
    return ModelCorrupt(f"`{bundle.name}` has an unusable genai_config.json: {error}")


def _splicer(guidance: Guidance) -> Splicer | None:
    if not guidance.constants:
        return None
    return Splicer(property_order(read_schema(guidance.source)), dict(guidance.constants))

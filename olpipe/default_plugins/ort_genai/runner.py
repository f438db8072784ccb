"""A text model on ONNX Runtime GenAI: one sequence at a time, decoded by olpipe's own loop."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from olpipe.decoding.constraint import Constraint
from olpipe.decoding.logprobs import Scorer
from olpipe.decoding.loop import Run, decode
from olpipe.decoding.sampler import Sampler
from olpipe.decoding.text import TextStream
from olpipe.decoding.vocabulary import Vocabulary
from olpipe.default_plugins.ort_genai.logits import GeneratorLogits
from olpipe.default_plugins.ort_genai.prefixes import Prefixes
from olpipe.default_plugins.ort_genai.runtime import import_runtime
from olpipe.errors import ContextExceeded, ModelCorrupt, ModelUnsupported, UsageError
from olpipe.generation import (
    Chunk,
    FinishReason,
    GenerateRequest,
    Guidance,
    Timings,
    TokenLogprobs,
    Usage,
)
from olpipe.guidance.grammar import Grammars
from olpipe.guidance.outline import Outline
from olpipe.guidance.schema import property_order, read_schema
from olpipe.guidance.splice import Splicer
from olpipe.interfaces import Prepared, SingleSequenceRunner
from olpipe.messages import Message
from olpipe.model import LoadOptions, ModelBundle, RunnerInfo

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


class TextRunner(SingleSequenceRunner):
    """A decoder-only package."""

    def __init__(self, package: Path, bundle: ModelBundle, options: LoadOptions) -> None:
        super().__init__()
        self._system = bundle.system
        self._runtime = import_runtime()
        try:
            config = orjson.loads((package / "genai_config.json").read_bytes())
            settings = config["model"]
            end_tokens = settings["eos_token_id"]
            vocabulary_size = settings["vocab_size"]
            context_length = settings["context_length"]
        except (OSError, orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise ModelCorrupt(f"`{bundle.name}` has an unusable genai_config.json: {error}") from error
        if "vision" in settings or "decoder" not in settings:
            raise ModelUnsupported(f"`{bundle.name}` is of type `{settings.get('type')}`, not a text decoder")
        limit = options.context_length or context_length
        self.info = RunnerInfo(context_length=min(limit, context_length))
        self._model, self._tokenizer = self._load(package, bundle, options)
        self._vocabulary = Vocabulary(
            (package / "tokenizer.json").read_text(encoding="utf-8"),
            size=vocabulary_size,
            end_tokens=end_tokens if isinstance(end_tokens, list) else [end_tokens],
        )
        self._grammars = Grammars(self._vocabulary.tokenizer)
        self._prefixes = Prefixes(self._open, context_length=self.info.context_length)

    def _open(self, length: int) -> GeneratorLogits:
        return GeneratorLogits(self._runtime, self._model, max_length=length)

    def _load(self, package: Path, bundle: ModelBundle, options: LoadOptions) -> tuple[Any, Any]:
        try:
            config = self._runtime.Config(str(package))
            if options.threads:
                session = {"intra_op_num_threads": options.threads}
                config.overlay(orjson.dumps({"model": {"decoder": {"session_options": session}}}).decode())
            model = self._runtime.Model(config)
            return model, self._runtime.Tokenizer(model)
        except RuntimeError as error:
            raise ModelCorrupt(f"`{bundle.name}` cannot be loaded: {str(error).splitlines()[0]}") from error

    def prepare(self, request: GenerateRequest) -> TextPrompt:
        """Render the chat template, tokenise, and compile the grammar."""
        started = time.perf_counter_ns()
        if any(message.images for message in request.messages):
            raise UsageError(f"model `{request.model}` cannot see images", hint="name perceivers with `--evidence`")
        tokens = tuple(self._vocabulary.encode(self._render(request.messages)))
        if len(tokens) >= self.info.context_length:
            raise ContextExceeded(
                f"the prompt has {len(tokens)} tokens, and `{request.model}` holds {self.info.context_length}",
                hint="shorten the prompt",
            )
        constraint = splicer = None
        if request.guidance is not None:
            outline = Outline() if request.guidance.kind in ("json", "json_schema") else None
            constraint = Constraint(self._grammars.matcher(request.guidance), self._vocabulary, outline)
            splicer = _splicer(request.guidance)
        request = _with_biases(request, self._vocabulary)
        scorer = None if request.top_logprobs is None else Scorer(self._vocabulary, request.top_logprobs)
        elapsed = time.perf_counter_ns() - started
        return TextPrompt(len(tokens), tokens, request, constraint, splicer, scorer, elapsed)

    def _render(self, messages: Sequence[Message]) -> str:
        turns = [{"role": message.role, "content": self._vocabulary.quote(message.text)} for message in messages]
        if self._system and all(turn["role"] != "system" for turn in turns):
            turns.insert(0, {"role": "system", "content": self._system})
        return str(self._tokenizer.apply_chat_template(orjson.dumps(turns).decode(), add_generation_prompt=True))

    def generate(self, prepared: Prepared) -> Iterator[Chunk]:
        """Decode, yielding a chunk whenever text becomes showable."""
        assert isinstance(prepared, TextPrompt)
        started = time.perf_counter_ns()
        sampling = prepared.request.sampling
        length = min(prepared.prompt_tokens + sampling.max_tokens + _SLACK, self.info.context_length)
        sequence, reused = self._prefixes.begin(prepared.tokens, length)
        try:
            runs = decode(
                sequence,
                prepared.tokens,
                vocabulary=self._vocabulary,
                sampler=Sampler(sampling),
                max_tokens=sampling.max_tokens,
                constraint=prepared.constraint,
                scorer=prepared.scorer,
            )
            yield from self._chunks(runs, prepared, started, reused)
        finally:
            self._prefixes.keep(sequence)

    def _chunks(self, runs: Iterator[Run], prepared: TextPrompt, started: int, reused: int) -> Iterator[Chunk]:
        # A stop text would cut a document in two, so a guided text has none.
        text = TextStream(self._vocabulary, stop=() if prepared.constraint else prepared.request.sampling.stop)
        splice = prepared.splicer.feed if prepared.splicer else str
        usage = Usage(prompt_tokens=prepared.prompt_tokens)
        prefilled = started
        reason: FinishReason | None = None
        logprobs: tuple[TokenLogprobs, ...] = ()  # of tokens whose text is still held back
        for run in runs:
            if usage.sampled_tokens == 0 and run.sampled:
                prefilled = time.perf_counter_ns()
            usage += Usage(sampled_tokens=run.sampled, forced_tokens=run.forced)
            piece = text.feed(run.tokens)
            logprobs += run.logprobs
            reason = FinishReason.STOP if text.stopped else run.finish_reason
            if piece:
                yield Chunk(splice(piece), logprobs=logprobs)
                logprobs = ()
            if reason is not None:
                break
        rest = splice(text.finish())
        if prepared.splicer:
            usage = replace(usage, spliced_tokens=len(self._vocabulary.encode(prepared.splicer.spliced)))
        timings = Timings(
            prompt_ns=prepared.prepare_ns + prefilled - started,
            decode_ns=time.perf_counter_ns() - prefilled,
            reused_tokens=reused,
        )
        yield Chunk(rest, reason, usage, timings, logprobs)

    def close(self) -> None:
        """Free the model."""
        self._prefixes.close()
        self._model = self._tokenizer = None


def _with_biases(request: GenerateRequest, vocabulary: Vocabulary) -> GenerateRequest:
    """Return the request with the words to avoid as biases."""
    if not request.avoid:
        return request
    avoided = ((token, _AVOIDED) for token in sorted(vocabulary.spellings(request.avoid)))
    sampling = replace(request.sampling, logit_bias=(*request.sampling.logit_bias, *avoided))
    return replace(request, sampling=sampling)


def _splicer(guidance: Guidance) -> Splicer | None:
    if not guidance.constants:
        return None
    return Splicer(property_order(read_schema(guidance.source)), dict(guidance.constants))

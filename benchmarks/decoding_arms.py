"""The ways to decode a document that `decoding.py` compares."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
from decoding_document import DOCUMENT, LIVE_ATTEMPTS, LIVE_BUDGET, LIVE_PROMPT, PROMPT, SCHEMA

from olpipe.decoding.answer import Answer
from olpipe.decoding.constraint import Constraint, TokenRule
from olpipe.decoding.decoder import Decoder
from olpipe.decoding.model_sequence import Logits
from olpipe.decoding.prompt import Prompt
from olpipe.decoding.sampler import Sampler
from olpipe.decoding.steps import GuidedSteps, Picker
from olpipe.decoding.vocabulary import Vocabulary
from olpipe.default_plugins.ort_genai.runtime import import_runtime
from olpipe.default_plugins.ort_genai.sequence import GeneratorSequence
from olpipe.generation import Guidance, SamplingParams
from olpipe.guidance.grammar import Grammars
from olpipe.guidance.outline import Outline


class Timed:
    """A sequence that counts its forwards and adds up the time the model takes, logits fetched included."""

    def __init__(self, sequence: GeneratorSequence) -> None:
        self._sequence, self.capacity = sequence, sequence.capacity
        self.forwards, self.seconds, self.prefilled = 0, 0.0, 0.0

    def prefill(self, prompt: Prompt, start: int) -> Logits:
        logits = self._sequence.prefill(prompt, start)
        self.prefilled = time.perf_counter()  # every arm pays the prompt alike, so none is charged for it
        return logits

    def decode(self, tokens: Sequence[int]) -> Logits:
        started = time.perf_counter()
        logits = self._sequence.decode(tokens)
        self.seconds += time.perf_counter() - started
        self.forwards += 1
        return logits


class TwoForwards(Timed):
    """Runs forced tokens in a forward of their own."""

    def decode(self, tokens: Sequence[int]) -> Logits:
        if len(tokens) > 1:
            super().decode(tokens[:1])
            tokens = tokens[1:]
        return super().decode(tokens)


class NoForcing(Constraint):
    """Leaves every token to the model."""

    def take_forced(self) -> list[int]:
        return []


class Replay(Sampler):
    """Does a greedy sampler's work on the real logits, then picks the next token of a given text."""

    def __init__(self, tokens: Sequence[int], *, lazy: bool) -> None:
        super().__init__(SamplingParams())
        self._text, self._lazy = list(tokens), lazy
        self.place = 0

    def pick(self, logits: Logits, constraint: TokenRule | None) -> int:
        token = self._text[self.place]
        int(logits.argmax())
        assert constraint is not None
        assert constraint.allows(token)
        if not self._lazy:
            logits += constraint.bias()
            int(logits.argmax())
        return token


@dataclass(frozen=True)
class Outcome:
    """One document by one arm. `outside` is the share of its time that the model did not take."""

    seconds: float
    tokens: int
    forwards: int
    outside: float = 0.0
    valid: bool = True
    attempts: int = 1


class Bench:
    """One model, loaded once for all arms."""

    def __init__(self, package: Path, threads: int) -> None:
        self.runtime = import_runtime()
        config = self.runtime.Config(str(package))
        config.overlay(json.dumps({"model": {"decoder": {"session_options": {"intra_op_num_threads": threads}}}}))
        self.model = self.runtime.Model(config)
        settings = json.loads((package / "genai_config.json").read_text())["model"]
        ends = settings["eos_token_id"]
        self.tokenizer_json = (package / "tokenizer.json").read_text()
        self.vocabulary = Vocabulary(
            self.tokenizer_json, size=settings["vocab_size"], end_tokens=ends if isinstance(ends, list) else [ends]
        )
        self.grammars = Grammars(self.vocabulary.tokenizer)
        self.guidance = Guidance("json_schema", json.dumps(SCHEMA))
        self.prompt = Prompt(tuple(self.vocabulary.encode(PROMPT)))
        self.live_prompt = Prompt(tuple(self.vocabulary.encode(LIVE_PROMPT)))
        self.document = self.vocabulary.encode(json.dumps(DOCUMENT, separators=(",", ":")))

    def sequence(self, prompt: Prompt, budget: int) -> GeneratorSequence:
        return GeneratorSequence(self.runtime, self.model, max_length=len(prompt) + budget + 64)

    def generator(self, prompt: Prompt, budget: int, guided: str | None = None, *, forcing: bool = False) -> Any:
        """Return onnxruntime-genai's own loop, prefilled."""
        params = self.runtime.GeneratorParams(self.model)
        # Room to spare: its forced runs are not checked against the end.
        params.set_search_options(max_length=len(prompt) + budget + 256, do_sample=False)
        if guided is not None:
            params.set_guidance("json_schema", guided, forcing)
        generator = self.runtime.Generator(self.model, params)
        generator.append_tokens(np.array(prompt.tokens, dtype=np.int32))
        return generator

    def follow(
        self, sequence: Timed, prompt: Prompt, sampler: Sampler, max_tokens: int, constraint: type[Constraint]
    ) -> Iterator[tuple[int, ...]]:
        """Yield the tokens of a document, run by run, with all that a request pays but its preparation."""
        matcher = self.grammars.matcher(self.guidance)
        steps = GuidedSteps(
            self.vocabulary,
            Picker(sampler, None),
            constraint(matcher, self.vocabulary, Outline()),
            max_tokens=max_tokens,
            room=sequence.capacity - len(prompt),
        )
        decoder = Decoder(steps, Answer(self.vocabulary, prompt_tokens=len(prompt)))
        run = decoder.begin()
        yield run.tokens
        logits = sequence.prefill(prompt.followed_by(run.tokens), 0)
        while not (run := decoder.next(logits)).finished:
            yield run.tokens
            logits = sequence.decode(run.tokens)
        yield run.tokens

    # --- replay ---

    def replay_native(self) -> Outcome:
        """Let onnxruntime-genai's loop make as many tokens as the document has."""
        generator = self.generator(self.prompt, len(self.document))
        started = time.perf_counter()
        for _ in self.document:
            generator.generate_next_token()
        return Outcome(time.perf_counter() - started, len(self.document), len(self.document))

    def replay_single(self) -> Outcome:
        """Append one token a forward, from Python."""
        sequence = Timed(self.sequence(self.prompt, len(self.document)))
        logits = sequence.prefill(self.prompt, 0)
        for token in self.document[:-1]:
            int(logits.argmax())
            logits = sequence.decode([token])
        int(logits.argmax())
        return self._outcome(sequence, len(self.document))

    def replay(
        self,
        *,
        lazy: bool = True,
        timed: type[Timed] = Timed,
        constraint: type[Constraint] = Constraint,
    ) -> Outcome:
        """Decode the document with our decoder."""
        sequence = timed(self.sequence(self.prompt, len(self.document)))
        sampler = Replay(self.document, lazy=lazy)
        made: list[int] = []
        for tokens in self.follow(sequence, self.prompt, sampler, 10 * len(self.document), constraint):
            made += tokens
            sampler.place = len(made)
        assert made == self.document
        return self._outcome(sequence, len(made))

    # --- live ---

    def live(self) -> Outcome:
        """Decode a document of the model's own with our decoder."""
        sequence = Timed(self.sequence(self.live_prompt, LIVE_BUDGET))
        runs = self.follow(sequence, self.live_prompt, Sampler(SamplingParams()), LIVE_BUDGET, Constraint)
        made = [token for tokens in runs for token in tokens]
        return replace(self._outcome(sequence, len(made)), valid=is_valid(self.vocabulary.bytes_of(made)))

    def live_native(self, guided: str | None, *, forcing: bool = False) -> Outcome:
        """Let onnxruntime-genai's own loop make documents until one is valid."""
        seconds, made = 0.0, 0
        for attempt in range(1, LIVE_ATTEMPTS + 1):
            generator = self.generator(self.live_prompt, LIVE_BUDGET, guided, forcing=forcing)
            start = generator.token_count()
            started = time.perf_counter()
            while not generator.is_done() and generator.token_count() - start < LIVE_BUDGET:
                generator.generate_next_token()
            seconds += time.perf_counter() - started
            tokens = [int(token) for token in generator.get_sequence(0)[start:]]
            made += len(tokens)
            if is_valid(self.vocabulary.bytes_of(tokens)):
                return Outcome(seconds, made, made, attempts=attempt)
        return Outcome(seconds, made, made, valid=False, attempts=LIVE_ATTEMPTS)

    def _outcome(self, sequence: Timed, tokens: int) -> Outcome:
        seconds = time.perf_counter() - sequence.prefilled
        return Outcome(seconds, tokens, sequence.forwards, 1 - sequence.seconds / seconds)


def is_valid(data: bytes) -> bool:
    try:
        jsonschema.validate(json.loads(data), SCHEMA)
    except (ValueError, jsonschema.ValidationError):
        return False
    return True


class LlamaCpp:
    """The same weights under llama-cpp-python, for comparison."""

    def __init__(self, gguf: Path, threads: int) -> None:
        import llama_cpp

        self._library = llama_cpp
        self._model = llama_cpp.Llama(str(gguf), n_ctx=2048, n_threads=threads, verbose=False)

    def live(self, *, guided: bool) -> Outcome:
        grammar = None
        if guided:
            grammar = self._library.LlamaGrammar.from_json_schema(json.dumps(SCHEMA), verbose=False)
        self._model.reset()
        started = time.perf_counter()
        answer = self._model(LIVE_PROMPT, max_tokens=LIVE_BUDGET, temperature=0.0, grammar=grammar)
        seconds = time.perf_counter() - started
        tokens = answer["usage"]["completion_tokens"]
        return Outcome(seconds, tokens, tokens, valid=is_valid(answer["choices"][0]["text"].encode()))

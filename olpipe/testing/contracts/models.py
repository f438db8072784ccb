"""The contracts of backends and of sources of models."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from olpipe.errors import ContextExceeded, PullFailed, UsageError
from olpipe.generation import Chunk, FinishReason, GenerateRequest, Guidance, SamplingParams
from olpipe.interfaces import Backend, ModelSource, Progress, Runner
from olpipe.messages import Message
from olpipe.model import LoadOptions, ModelBundle, ModelName
from olpipe.store.library import Library

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 8}, "known": {"type": "boolean"}},
    "required": ["name", "known"],
    "additionalProperties": False,
}


def ignore(progress: Progress) -> None:
    """Take progress and tell nobody."""


class BackendContract:
    """Every `Backend` and its `Runner`. Give it the fixtures `backend` and `bundle`, a model it can load.

    Attributes:
        prompt: Something to say to the model.
    """

    prompt: str = "Tell me about the sea, please."

    @pytest.fixture
    def backend(self) -> Backend:
        """Return the backend."""
        raise NotImplementedError

    @pytest.fixture
    def bundle(self) -> ModelBundle:
        """Return a model; the smaller the better."""
        raise NotImplementedError

    @pytest.fixture
    def runner(self, backend: Backend, bundle: ModelBundle) -> Iterator[Runner]:
        """Build and load the model."""
        backend.build(bundle, ignore)
        runner = backend.load(bundle, LoadOptions(threads=1))
        yield runner
        runner.close()

    def request(self, text: str | None = None, *, guidance: Guidance | None = None, max_tokens: int = 24) -> Any:
        """Return a greedy request."""
        message = Message.of("user", self.prompt if text is None else text)
        return GenerateRequest("m", (message,), SamplingParams(max_tokens=max_tokens), guidance)

    def answer(self, runner: Runner, request: GenerateRequest) -> Sequence[Chunk]:
        """Return all chunks of an answer."""
        runner.start(1, runner.prepare(request))
        chunks: list[Chunk] = []
        while not chunks or chunks[-1].finish_reason is None:
            for sequence_id, chunk in runner.step():
                assert sequence_id == 1
                assert isinstance(chunk, Chunk), chunk
                chunks.append(chunk)
        return chunks

    def test_it_has_a_name(self, backend: Backend) -> None:
        """The name is how the runner's process finds it."""
        assert isinstance(backend.name, str)
        assert backend.name

    def test_it_can_load_its_own_and_nothing_else(self, backend: Backend, bundle: ModelBundle, tmp_path: Path) -> None:
        """It looks at files, and an empty folder is nobody's."""
        empty = tmp_path / "empty"
        empty.mkdir()
        assert backend.can_load(bundle)
        assert not backend.can_load(replace(bundle, path=empty, cache=empty))

    def test_building_again_changes_nothing(self, backend: Backend, bundle: ModelBundle) -> None:
        """What is built is left alone."""
        backend.build(bundle, ignore)
        before = {path: path.stat().st_mtime_ns for path in bundle.cache.rglob("*")}
        backend.build(bundle, ignore)
        assert {path: path.stat().st_mtime_ns for path in bundle.cache.rglob("*")} == before

    def test_it_says_what_it_can_do(self, runner: Runner) -> None:
        """The engine goes by it."""
        assert runner.info.context_length > 0
        assert runner.info.slots >= 1
        assert "completion" in runner.info.capabilities

    def test_the_limit_on_the_context_is_kept(self, backend: Backend, bundle: ModelBundle) -> None:
        """It may be lower than the model's own, never higher."""
        backend.build(bundle, ignore)
        runner = backend.load(bundle, LoadOptions(threads=1, context_length=64))
        assert runner.info.context_length == 64
        runner.close()

    def test_only_the_last_chunk_says_how_it_ended(self, runner: Runner) -> None:
        """It carries finish reason, usage and timings; no other chunk carries any."""
        *others, last = self.answer(runner, self.request())
        assert last.finish_reason in (FinishReason.STOP, FinishReason.LENGTH)
        assert last.usage is not None
        assert last.timings is not None
        assert all((chunk.finish_reason, chunk.usage, chunk.timings) == (None, None, None) for chunk in others)

    def test_every_chunk_is_complete_utf8(self, runner: Runner) -> None:
        """No half of a character is ever shown."""
        for chunk in self.answer(runner, self.request("Say this: 图片 🐈 straße")):
            chunk.text.encode("utf-8", errors="strict")

    def test_usage_counts_the_prompt_and_keeps_to_the_budget(self, runner: Runner) -> None:
        """The budget counts sampled and forced tokens."""
        request = self.request(max_tokens=3)
        usage = self.answer(runner, request)[-1].usage
        assert usage is not None
        assert usage.prompt_tokens == runner.prepare(request).prompt_tokens > 0
        assert usage.sampled_tokens + usage.forced_tokens <= 3

    def test_logprobs_are_told_of_every_token_or_refused(self, runner: Runner) -> None:
        """Never left out in silence, and never told unasked."""
        assert not any(chunk.logprobs for chunk in self.answer(runner, self.request()))
        request = replace(self.request(), top_logprobs=2)
        try:
            chunks = self.answer(runner, request)
        except UsageError:
            return
        usage = chunks[-1].usage
        assert usage is not None
        assert sum(len(chunk.logprobs) for chunk in chunks) == usage.sampled_tokens + usage.forced_tokens

    def test_greedy_answers_repeat(self, runner: Runner) -> None:
        """Nothing of one answer leaks into the next."""
        first, second = ([c.text for c in self.answer(runner, self.request())] for _ in range(2))
        assert "".join(first) == "".join(second)

    def test_a_stopped_sequence_frees_its_slot(self, runner: Runner) -> None:
        """Before its first step and in the middle."""
        expected = "".join(chunk.text for chunk in self.answer(runner, self.request()))
        for steps in range(3):
            runner.start(7, runner.prepare(self.request()))
            for _ in range(steps):
                runner.step()
            runner.stop(7)
        assert not runner.step()
        assert "".join(chunk.text for chunk in self.answer(runner, self.request())) == expected

    def test_stopping_an_unknown_sequence_is_ignored(self, runner: Runner) -> None:
        """A cancel may come late."""
        runner.stop(99)

    def test_a_prompt_that_does_not_fit_is_refused(self, runner: Runner) -> None:
        """In `prepare`, before it takes a slot."""
        with pytest.raises(ContextExceeded):
            runner.prepare(self.request("word " * (runner.info.context_length + 1)))

    @pytest.mark.parametrize("max_tokens", [1, 64])
    def test_a_guided_document_is_always_whole(self, runner: Runner, max_tokens: int) -> None:
        """However small the budget."""
        import jsonschema

        if not runner.info.guidance:
            pytest.skip("this runner takes no guidance")
        guidance = Guidance("json_schema", json.dumps(SCHEMA))
        chunks = self.answer(runner, self.request(guidance=guidance, max_tokens=max_tokens))
        jsonschema.validate(json.loads("".join(chunk.text for chunk in chunks)), SCHEMA)

    def test_what_is_known_is_spliced_and_counted_apart(self, runner: Runner) -> None:
        """The model never generates it."""
        if not runner.info.guidance:
            pytest.skip("this runner takes no guidance")
        guidance = Guidance("json_schema", json.dumps(SCHEMA), (("name", '"Ada"'),))
        chunks = self.answer(runner, self.request(guidance=guidance))
        assert json.loads("".join(chunk.text for chunk in chunks))["name"] == "Ada"
        usage = chunks[-1].usage
        assert usage is not None
        assert usage.spliced_tokens > 0


class ModelSourceContract:
    """Every `ModelSource`. Give it the fixtures `source` and `reference`, something it can pull without a network.

    Attributes:
        missing: A reference to what is not there.
    """

    missing: str = "there-is-no-such-thing"

    @pytest.fixture
    def source(self) -> ModelSource:
        """Return the source."""
        raise NotImplementedError

    @pytest.fixture
    def reference(self) -> str:
        """Return what follows the scheme, or an announced name."""
        raise NotImplementedError

    @pytest.fixture
    def library(self, tmp_path: Path) -> Library:
        """Return an empty store."""
        return Library(tmp_path / "models", cache=tmp_path / "cache")

    def test_it_has_a_scheme(self, source: ModelSource) -> None:
        """Lower case, without the colon."""
        assert re.fullmatch("[a-z][a-z0-9+.-]*", source.scheme)

    def test_it_announces_names(self, source: ModelSource) -> None:
        """Each is a name, and its own default name."""
        for name in source.names():
            assert source.default_name(name) == ModelName.parse(name)

    def test_what_is_pulled_is_in_the_store(
        self, source: ModelSource, reference: str, library: Library, tmp_path: Path
    ) -> None:
        """Under the name that was asked for."""
        name = ModelName.parse("mine:1")
        source.pull(reference, name, library, ignore)
        assert library.names() == [name]
        assert any(library.get(name).path.iterdir())

    def test_pulling_again_gives_the_same_model(self, source: ModelSource, reference: str, library: Library) -> None:
        """Its digest is that of what was pulled, not of when."""
        names = ModelName.parse("one"), source.default_name(reference)
        for name in names:
            source.pull(reference, name, library, ignore)
        assert len({library.get(name).digest for name in names}) == 1

    def test_what_is_not_there_is_not_in_the_store_either(self, source: ModelSource, library: Library) -> None:
        """And the error says so."""
        with pytest.raises(PullFailed, match=self.missing):
            source.pull(self.missing, ModelName.parse("mine"), library, ignore)
        assert library.names() == []

"""The contract of backends, fourth part: answers that are held to a schema or a grammar."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from olpipe.errors import UsageError
from olpipe.generation import FinishReason, Guidance, SamplingParams
from olpipe.interfaces import Runner
from olpipe.testing.contracts.asking import ModelFixtures, answer, completion, heard, said

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 8}, "known": {"type": "boolean"}},
    "required": ["name", "known"],
    "additionalProperties": False,
}

# They differ only in their last byte, so that a model writes each of them in several tokens of bytes.
CHARACTERS = "一丁七万丈三"
LETTERS: dict[str, Any] = {"type": "array", "items": {"enum": list(CHARACTERS)}, "minItems": 6, "maxItems": 6}


class GuidanceContract(ModelFixtures):
    """What a runner has to do whose `info.guidance` says that it holds answers to a schema."""

    @pytest.fixture
    def guided(self, writer: Runner) -> Runner:
        """Return the runner where it takes guidance."""
        if not writer.info.guidance:
            pytest.skip("this runner takes no guidance")
        return writer

    @pytest.mark.parametrize("max_tokens", [1, 7, 64])
    @pytest.mark.parametrize("temperature", [0.0, 1.5])
    def test_a_guided_document_is_always_whole(self, guided: Runner, max_tokens: int, temperature: float) -> None:
        """However small the budget is, the document is one that the schema accepts."""
        sampling = SamplingParams(temperature=temperature, seed=1)
        guidance = Guidance("json_schema", json.dumps(SCHEMA))
        one = completion(guided, self.request(guidance=guidance, sampling=sampling, max_tokens=max_tokens))
        _validate(json.loads(one.text), SCHEMA)
        assert one.finish_reason in (FinishReason.STOP, FinishReason.LENGTH)

    def test_a_stop_text_does_not_cut_a_document(self, guided: Runner) -> None:
        """Half a document would not fit the schema."""
        guidance = Guidance("json_schema", json.dumps(SCHEMA))
        one = completion(guided, self.request(guidance=guidance, sampling=SamplingParams(stop=('"', ":", "known"))))
        _validate(json.loads(one.text), SCHEMA)

    def test_any_json_is_an_object(self, guided: Runner) -> None:
        """Guidance of the kind `json` has no schema."""
        one = completion(guided, self.request(guidance=Guidance("json"), max_tokens=40))
        assert isinstance(json.loads(one.text), dict)

    @pytest.mark.parametrize(
        ("grammar_kind", "grammar", "expected"),
        [
            ("regex", "(yes|no), [0-9]{3}", "(yes|no), [0-9]{3}"),
            ("lark", 'start: ("yes" | "no") ", " /[0-9]{3}/', "(yes|no), [0-9]{3}"),
        ],
    )
    def test_other_guidance_is_followed_or_refused(
        self, guided: Runner, grammar_kind: Any, grammar: str, expected: str
    ) -> None:
        """It is never ignored."""
        request = self.request(guidance=Guidance(grammar_kind, grammar), max_tokens=40)
        try:
            prepared = guided.prepare(request)
        except UsageError:
            return
        assert prepared.prompt_tokens > 0
        assert re.fullmatch(expected, completion(guided, request).text)

    def test_what_is_known_is_spliced_and_counted_apart(self, guided: Runner) -> None:
        """The model never generates it."""
        guidance = Guidance("json_schema", json.dumps(SCHEMA), (("name", '"Ada Lovelace, Countess"'),))
        free = completion(guided, self.request(guidance=replace(guidance, constants=())))
        one = completion(guided, self.request(guidance=guidance))
        assert json.loads(one.text)["name"] == "Ada Lovelace, Countess"
        assert isinstance(json.loads(one.text)["known"], bool)
        assert one.usage.spliced_tokens > 0
        assert free.usage.spliced_tokens == 0

    def test_no_half_of_a_character_is_shown(self, guided: Runner) -> None:
        """A character of several tokens is held back until it is whole."""
        for seed in (1, 2):
            sampling = SamplingParams(temperature=1.0, seed=seed)
            request = self.request(guidance=Guidance("json_schema", json.dumps(LETTERS)), sampling=sampling)
            chunks = answer(guided, replace(request, sampling=replace(sampling, max_tokens=100)))
            assert [chunk.text for chunk in chunks if "\ufffd" in chunk.text] == []
            _validate(json.loads("".join(chunk.text for chunk in chunks)), LETTERS)

    def test_guidance_leaves_no_trace(self, guided: Runner) -> None:
        """A request gets the same answer before and after one with guidance, words to avoid, penalties or biases."""
        before = heard(guided, self.request())
        guidance = Guidance("json_schema", json.dumps(SCHEMA), (("name", '"Ada"'),))
        sampling = SamplingParams(repeat_penalty=1.5, presence_penalty=3.0, logit_bias=((5, 30.0), (6, -30.0)))
        for spoiling in (
            self.request(guidance=guidance),
            replace(self.request(), avoid=("the", "a", "dog")),
            self.request(guidance=guidance, sampling=sampling),
            self.request(sampling=sampling),
        ):
            completion(guided, spoiling)
            assert heard(guided, self.request()) == before

    def test_the_same_guidance_is_followed_again(self, guided: Runner) -> None:
        """A runner may keep what it compiled, but each answer starts from the beginning of the grammar."""
        request = self.request(guidance=Guidance("json_schema", json.dumps(SCHEMA)))
        first = said(completion(guided, request))
        assert said(completion(guided, request)) == first


def _validate(value: Any, schema: Mapping[str, Any]) -> None:
    import jsonschema

    jsonschema.validate(value, schema)

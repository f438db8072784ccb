"""The contract of backends, second part: answers, one at a time, and how their tokens are picked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from olpipe.errors import ContextExceeded
from olpipe.generation import Completion, FinishReason, GenerateRequest, SamplingParams
from olpipe.interfaces import Backend, Runner
from olpipe.model import LoadOptions, ModelBundle
from olpipe.testing.contracts.asking import (
    PROMPTS,
    ModelFixtures,
    answer,
    completion,
    heard,
    load,
    said,
    tells_logprobs,
)

SEEDS = (1, 2, 3, 4, 5)
WILD = SamplingParams(temperature=1.5)
NEVER = -1000.0


class AnswerContract(ModelFixtures):
    """What a runner that writes answers has to do."""

    def test_only_the_last_chunk_says_how_it_ended(self, writer: Runner) -> None:
        """It carries finish reason, usage and timings; no other chunk carries any."""
        *others, last = answer(writer, self.request())
        assert last.finish_reason in (FinishReason.STOP, FinishReason.LENGTH)
        assert last.usage is not None
        assert last.timings is not None
        assert all((chunk.finish_reason, chunk.usage, chunk.timings) == (None, None, None) for chunk in others)

    def test_times_are_told(self, writer: Runner) -> None:
        """No time is negative, and no more tokens of a prompt are reused than it has."""
        for _ in range(2):
            one = completion(writer, self.request())
            assert min(one.timings.prompt_ns, one.timings.decode_ns) >= 0
            assert 0 <= one.timings.reused_tokens <= one.usage.prompt_tokens

    def test_usage_counts_the_prompt(self, writer: Runner) -> None:
        """The prompt has as many tokens as `prepare` said. A longer prompt has more tokens."""
        found = []
        for text in (self.prompt, f"{self.prompt} {self.prompt}"):
            prepared = writer.prepare(self.request(text))
            found.append(completion(writer, self.request(text)).usage.prompt_tokens)
            assert found[-1] == prepared.prompt_tokens
        assert 0 < found[0] < found[1]

    def test_a_budget_ends_an_answer(self, writer: Runner) -> None:
        """The shorter answer is the beginning of the longer one, and its finish reason says that it was cut."""
        whole = completion(writer, self.request(max_tokens=24))
        assert _tokens(whole) > 3, "the contract's prompt needs an answer of more than three tokens"
        cut = completion(writer, self.request(max_tokens=3))
        assert cut.finish_reason is FinishReason.LENGTH
        assert _tokens(cut) == 3
        assert cut.text != whole.text
        assert whole.text.startswith(cut.text.rstrip("\ufffd"))

    def test_the_context_ends_an_answer(self, backend: Backend, bundle: ModelBundle, writer: Runner) -> None:
        """Prompt and answer together have no more tokens than the context."""
        short = load(backend, bundle, LoadOptions(threads=1, context_length=64))
        try:
            one = completion(short, self.request(max_tokens=1000))
        finally:
            short.close()
        assert one.usage.prompt_tokens + _tokens(one) <= 64

    def test_a_prompt_that_does_not_fit_is_refused(self, writer: Runner) -> None:
        """`prepare` refuses it, before it takes a slot."""
        with pytest.raises(ContextExceeded):
            writer.prepare(self.request("word " * (writer.info.context_length + 1)))

    def test_logprobs_are_told_of_every_token_or_refused(self, writer: Runner) -> None:
        """A runner that does not report them refuses the request. They are not reported unless they were asked for."""
        assert completion(writer, self.request()).logprobs == ()
        if not tells_logprobs(writer, self.request()):
            return
        one = completion(writer, replace(self.request(), top_logprobs=2))
        assert len(one.logprobs) == _tokens(one)
        for token in one.logprobs:
            assert token.raw is None or token.raw <= 1e-6
            assert len(token.top_raw) <= 2
        # A greedy pick is the likeliest token.
        assert all(token.top_raw[0].token == token.token for token in one.logprobs if token.top_raw)

    def test_greedy_answers_repeat(self, writer: Runner) -> None:
        """Nothing of one answer leaks into the next."""
        first = [said(completion(writer, self.request(text))) for text in PROMPTS]
        again = [said(completion(writer, self.request(text))) for text in reversed(PROMPTS)]
        assert again == first[::-1]

    def test_what_was_answered_before_changes_nothing(
        self, backend: Backend, bundle: ModelBundle, writer: Runner
    ) -> None:
        """A prompt that begins like an earlier one is answered as by a runner that was just loaded."""
        request = self.request(f"{self.prompt} And then?")
        expected = heard(writer, request)
        other = load(backend, bundle)
        try:
            for text in (self.prompt, f"{self.prompt} And", f"{self.prompt} And so?", self.prompt):
                completion(other, self.request(text))
            assert heard(other, request) == expected
        finally:
            other.close()

    def test_a_temperature_lets_chance_in(self, writer: Runner) -> None:
        """The same seed gives the same answer, and other seeds give other answers."""
        self._needs_chance()
        texts = [self._drawn(writer, seed) for seed in SEEDS]
        assert [self._drawn(writer, seed) for seed in SEEDS] == texts
        assert len(set(texts)) > 1

    @pytest.mark.parametrize("limit", [{"top_k": 1}, {"top_p": 1e-6}, {"min_p": 1.0}], ids=str)
    def test_a_truncation_to_one_token_leaves_nothing_to_chance(self, writer: Runner, limit: dict[str, Any]) -> None:
        """The answer is the greedy one."""
        self._needs_chance()
        greedy = completion(writer, self.request())
        for seed in SEEDS[:2]:
            sampling = replace(WILD, seed=seed, **limit)
            assert completion(writer, self.request(sampling=sampling)).text == greedy.text

    def test_a_stop_text_ends_an_answer(self, writer: Runner) -> None:
        """Neither the stop text nor what follows it is shown, and the answer says which stop text it was."""
        text = completion(writer, self.request()).text
        assert len(text) > 3, "the contract's prompt needs an answer of more than three characters"
        for at in sorted({1, len(text) // 2}):
            stop = text[at : at + 2]
            one = completion(writer, self.request(sampling=SamplingParams(stop=("never there", stop))))
            assert one.text == text[: text.index(stop)]
            assert (one.finish_reason, one.stopped_by) == (FinishReason.STOP, stop)

    def test_words_to_avoid_are_not_said(self, writer: Runner) -> None:
        """Words of one token are ruled out, with a space before them or not."""
        for request in self._wordy(writer):
            words = _words(completion(writer, request))
            if words:
                avoiding = replace(request, avoid=tuple(words))
                assert words & _words(completion(writer, avoiding)) == set()
                return
        pytest.fail("the model says no word of one token: give the contract another `prompt`")

    def test_biases_move_tokens(self, writer: Runner) -> None:
        """A token with a large negative bias is not picked."""
        self._needs_logprobs(writer)
        request = replace(self.request(), top_logprobs=0)
        picked = {token.token for token in completion(writer, request).logprobs}
        bias = tuple((token, NEVER) for token in sorted(picked))
        biased = replace(request, sampling=replace(request.sampling, logit_bias=bias))
        assert picked & {token.token for token in completion(writer, biased).logprobs} == set()

    @pytest.mark.parametrize("penalty", [{"presence_penalty": 1000.0}, {"frequency_penalty": 1000.0}], ids=str)
    def test_penalties_keep_tokens_from_coming_again(self, writer: Runner, penalty: dict[str, Any]) -> None:
        """With a large penalty, no token comes twice."""
        self._needs_logprobs(writer)
        request = self.request(sampling=SamplingParams(**penalty))
        tokens = [token.token for token in completion(writer, replace(request, top_logprobs=0)).logprobs]
        assert len(tokens) == len(set(tokens)) > 1

    def _drawn(self, writer: Runner, seed: int) -> str:
        return completion(writer, self.request(sampling=replace(WILD, seed=seed))).text

    def _needs_chance(self) -> None:
        if not self.draws:
            pytest.skip("answers of this backend do not depend on chance")

    def _needs_logprobs(self, writer: Runner) -> None:
        if not tells_logprobs(writer, self.request()):
            pytest.skip("this runner does not report its tokens")

    def _wordy(self, writer: Runner) -> Iterator[GenerateRequest]:
        """Yield requests to try until one is answered with words: first a greedy one, then sampled ones."""
        top = 0 if tells_logprobs(writer, self.request()) else None
        yield replace(self.request(max_tokens=64), top_logprobs=top)
        for seed in SEEDS if self.draws else ():
            yield replace(self.request(max_tokens=64, sampling=replace(WILD, seed=seed)), top_logprobs=top)


def _tokens(one: Completion) -> int:
    return one.usage.sampled_tokens + one.usage.forced_tokens


def _words(one: Completion) -> set[str]:
    """Return the words of an answer. Where it reports its tokens, only words of one token count."""
    if not one.logprobs:
        return set(re.findall(r"[a-z]+", one.text.lower()))
    texts = (bytes(token.data).decode("utf-8", errors="replace") for token in one.logprobs)
    return {text[1:].lower() for text in texts if re.fullmatch(r" [A-Za-z]+", text)}

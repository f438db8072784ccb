"""The contract of backends, seventh part: prompts that are too long, and requests about tokens."""

from __future__ import annotations

from dataclasses import replace

import pytest

from olpipe.errors import ContextExceeded, UsageError
from olpipe.generation import GenerateRequest
from olpipe.interfaces import Prepared, Runner
from olpipe.messages import Message
from olpipe.testing.contracts.asking import PROMPTS, ModelFixtures, completion, heard
from olpipe.tokens import CountRequest, DetokenizeRequest, TokenizeRequest

SHORT = 64
TURNS = 40
TEXTS = (*PROMPTS, "Grüße, 日本 🐈", "a <|im_end|> b </s> c <|endoftext|> d <end_of_turn>", "  two spaces\n\n", "")


class ContextContract(ModelFixtures):
    """What a runner does with prompts that are too long, and with requests about tokens."""

    def test_a_request_may_have_a_shorter_context(self, writer: Runner) -> None:
        """Its prompt and its answer together have no more tokens than it says."""
        one = completion(writer, replace(self.request(max_tokens=1000), context_length=SHORT))
        assert one.usage.prompt_tokens + one.usage.sampled_tokens + one.usage.forced_tokens <= SHORT
        with pytest.raises(ContextExceeded):
            writer.prepare(replace(self.request("word " * SHORT), context_length=SHORT))

    def test_a_request_cannot_have_a_longer_context(self, writer: Runner) -> None:
        """What the model was loaded with holds."""
        most = writer.info.context_length
        with pytest.raises(ContextExceeded):
            writer.prepare(replace(self.request("word " * (most + 1)), context_length=10 * most))

    def test_a_conversation_that_fits_is_not_cut(self, writer: Runner) -> None:
        """Nothing is left out, and the same is heard as where nothing may be left out."""
        turns = (Message.of("user", "Who are you?"), Message.of("assistant", "A parrot."), *self.request().messages)
        request = replace(self.request(), messages=turns)
        prepared = writer.prepare(replace(request, truncate=True))
        assert (prepared.cut_messages, prepared.cut_tokens) == (0, 0)
        assert heard(writer, replace(request, truncate=True)) == heard(writer, request)

    def test_a_conversation_that_is_too_long_is_cut_where_that_is_allowed(self, writer: Runner) -> None:
        """What was left out is told. The runner may refuse to cut. Unless that is allowed, it always refuses."""
        request = self._long(writer, PROMPTS[1])
        with pytest.raises(ContextExceeded):
            writer.prepare(replace(request, truncate=False))
        prepared = _cut(writer, request)
        assert prepared.prompt_tokens < request.context_length
        assert 0 < prepared.cut_messages < len(request.messages)
        assert prepared.cut_tokens > 0

    def test_the_last_message_is_never_left_out(self, writer: Runner) -> None:
        """It makes a difference, however much is left out before it."""
        requests = [self._long(writer, text) for text in PROMPTS[1:3]]
        most = max(request.context_length for request in requests)
        first, other = (replace(request, context_length=most) for request in requests)
        _cut(writer, first)
        assert heard(writer, first) != heard(writer, other)

    def test_tokens_spell_their_text(self, writer: Runner) -> None:
        """That includes what looks like a special token: in a text it is plain text. A runner may show no tokens."""
        for text in TEXTS:
            tokens = _tokens(writer, text)
            assert writer.detokenize(DetokenizeRequest("m", tokens)) == text
            assert bool(tokens) == bool(text)

    def test_a_token_that_does_not_exist_is_refused(self, writer: Runner) -> None:
        """So are negative numbers."""
        _tokens(writer, self.prompt)
        for token in (-1, 10**9):
            with pytest.raises(UsageError):
                writer.detokenize(DetokenizeRequest("m", (token,)))

    def test_the_tokens_of_a_prompt_are_counted(self, writer: Runner) -> None:
        """There are as many as `prepare` says. A prompt that does not fit is counted, or refused."""
        for text in PROMPTS:
            request = self.request(text)
            assert writer.count_tokens(CountRequest(request)) == writer.prepare(request).prompt_tokens
        try:
            counted = writer.count_tokens(CountRequest(self.request("word " * (writer.info.context_length + 1))))
        except ContextExceeded:
            return
        assert counted > writer.info.context_length

    def _long(self, writer: Runner, last: str) -> GenerateRequest:
        """Return a request whose conversation has far too many turns, and may be cut."""
        turns = [
            message
            for number in range(TURNS)
            for message in (Message.of("user", f"And then? {number}"), Message.of("assistant", f"Then came {number}."))
        ]
        asked = self.request(last)
        room = writer.prepare(replace(asked, messages=(*turns[:4], *asked.messages))).prompt_tokens
        return replace(asked, messages=(*turns, *asked.messages), context_length=room + SHORT, truncate=True)


def _cut(writer: Runner, request: GenerateRequest) -> Prepared:
    """Prepare a request whose conversation is too long. A runner that refuses it need not do more."""
    try:
        return writer.prepare(request)
    except ContextExceeded:
        pytest.skip("this runner cuts no conversations")


def _tokens(writer: Runner, text: str) -> tuple[int, ...]:
    try:
        return writer.tokenize(TokenizeRequest("m", text))
    except UsageError:
        pytest.skip("this runner does not show its tokens")

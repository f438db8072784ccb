"""Runners with one fault each: prompts that are too long, and requests about tokens."""

from dataclasses import replace

import pytest
from mutants.tiny import Forgets, RunnerMutants, TinyRunner, tiny_bundle

from olpipe.messages import Message
from olpipe.testing.contracts.contexts import ContextContract

CONTRACT = ContextContract
PLUGINS = RunnerMutants()


@PLUGINS.runner("test_a_request_may_have_a_shorter_context")
class IgnoresTheRequestsContext(Forgets):
    """It takes as many tokens as the model holds, whatever the request says."""

    def changed(self, request):
        return replace(request, context_length=0)


@PLUGINS.runner("test_a_request_cannot_have_a_longer_context")
class BelievesTheRequestsContext(Forgets):
    """It takes a prompt that the model does not hold, because the request says that it does."""

    def changed(self, request):
        if request.context_length <= self.info.context_length:
            return request
        return replace(request, messages=(Message.of("user", request.messages[-1].text[:20]),))


@PLUGINS.runner("test_a_conversation_that_fits_is_not_cut")
class CutsAlways(Forgets):
    """It leaves out the first message wherever that is allowed."""

    def changed(self, request):
        return replace(request, messages=request.messages[1:]) if request.truncate else request


@PLUGINS.runner("test_a_conversation_that_is_too_long_is_cut_where_that_is_allowed")
class CutsUnasked(Forgets):
    """It leaves out messages that must not be left out."""

    def changed(self, request):
        return replace(request, truncate=True)


@PLUGINS.runner("test_a_conversation_that_is_too_long_is_cut_where_that_is_allowed")
class CutsInSilence(TinyRunner):
    """It does not say what it left out."""

    def prepare(self, request):
        return replace(super().prepare(request), cut_messages=0, cut_tokens=0)


@PLUGINS.runner("test_the_last_message_is_never_left_out")
class CutsTheEnd(Forgets):
    """It keeps the oldest messages."""

    def changed(self, request):
        return replace(request, messages=request.messages[:-1]) if len(request.messages) > 10 else request


@PLUGINS.runner("test_tokens_spell_their_text")
class KeepsNoCapitals(TinyRunner):
    """Its tokens are those of another text."""

    def tokenize(self, request):
        return super().tokenize(replace(request, text=request.text.lower()))


@PLUGINS.runner("test_tokens_spell_their_text")
class ObeysTexts(TinyRunner):
    """What looks like a special token in a text becomes one."""

    def tokenize(self, request):
        return super().tokenize(replace(request, special=True))


@PLUGINS.runner("test_a_token_that_does_not_exist_is_refused")
class PassesOverTokens(TinyRunner):
    """It leaves out tokens that do not exist."""

    def detokenize(self, request):
        known = tuple(token for token in request.tokens if 0 <= token < self.vocabulary.size)
        return super().detokenize(replace(request, tokens=known))


@PLUGINS.runner("test_the_tokens_of_a_prompt_are_counted")
class CountsWords(TinyRunner):
    """It takes a word for a token, and forgets what stands around messages."""

    def count_tokens(self, request):
        return sum(len(message.text.split()) for message in request.prompt.messages)


class TestContexts(ContextContract):
    @pytest.fixture(params=PLUGINS, ids=str)
    def plugin(self, request):
        return request.param

    @pytest.fixture
    def backend(self, plugin):
        return plugin.make()

    @pytest.fixture
    def bundle(self, tmp_path):
        return tiny_bundle(tmp_path)

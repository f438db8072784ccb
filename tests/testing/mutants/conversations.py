"""Runners with one fault each: what the model is told, and what else a request may ask for."""

from dataclasses import replace

import numpy as np
import pytest
from mutants.tiny import Changes, Forgets, RunnerMutants, TinyRunner, tiny_bundle

from olpipe.decoding.prompt import Prompt
from olpipe.messages import ImagePart, Message, ToolCallPart
from olpipe.testing.contracts.conversations import ConversationContract

CONTRACT = ConversationContract
PLUGINS = RunnerMutants()


@PLUGINS.runner("test_every_message_reaches_the_model")
class HearsTheLastMessage(Forgets):
    """A conversation is its last message."""

    def changed(self, request):
        return replace(request, messages=request.messages[-1:])


@PLUGINS.runner("test_every_message_reaches_the_model")
class IgnoresSystemMessages(Forgets):
    """What the system message asks for is left out."""

    def changed(self, request):
        return replace(request, messages=tuple(one for one in request.messages if one.role != "system"))


@PLUGINS.runner("test_every_message_reaches_the_model")
class CountsButDoesNotRead(TinyRunner):
    """Earlier messages are counted, and every one of their tokens is another."""

    def render(self, request):
        prompt = super().render(request)
        last = len(super().render(replace(request, messages=request.messages[-1:])))
        return Prompt((*(7 for _ in prompt.tokens[:-last]), *prompt.tokens[-last:]), prompt.images)


@PLUGINS.runner("test_the_models_own_system_text_opens_conversations_that_have_none")
class IgnoresItsSystemText(TinyRunner):
    """The model's own system text is never read."""

    def __init__(self, weights, vocabulary, options, system):
        super().__init__(weights, vocabulary, options, "")


@PLUGINS.runner("test_the_models_own_system_text_opens_conversations_that_have_none")
class InsistsOnItsSystemText(Forgets):
    """The model's own system text comes before one of the request."""

    def changed(self, request):
        own = (Message.of("system", self.system),) if self.system else ()
        return replace(request, messages=(*own, *request.messages))


@PLUGINS.runner("test_photos_are_seen_or_refused")
class SwallowsPhotos(Forgets):
    """It says that it sees, and reads the texts alone."""

    def changed(self, request):
        messages = (
            replace(one, parts=tuple(part for part in one.parts if not isinstance(part, ImagePart)))
            for one in request.messages
        )
        return replace(request, messages=tuple(messages))


@PLUGINS.runner("test_photos_are_seen_or_refused")
class IsBlindAndSaysNothing(SwallowsPhotos):
    """It says that it does not see, and takes photos all the same."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.info = replace(self.info, fit_pixels=0)


@PLUGINS.runner("test_photos_are_seen_or_refused")
class SharesPhotos(TinyRunner):
    """Two photos have one identity, as their placeholders have: the second is taken for the first."""

    def show(self, image, start):
        return replace(super().show(image, start), digest="a photo")


@PLUGINS.runner("test_the_order_of_photos_is_kept")
class ShowsPhotosInAnyOrder(TinyRunner):
    """The first photo may be the second."""

    def render(self, request):
        prompt = super().render(request)
        darkest = sorted(prompt.images, key=lambda image: float(image.features["parts"].sum()))
        placed = [replace(image, start=own.start) for own, image in zip(prompt.images, darkest, strict=True)]
        return Prompt(prompt.tokens, tuple(placed))


@PLUGINS.runner("test_a_request_is_left_as_it_is")
class ChangesMessages(TinyRunner):
    """It puts its system text into the caller's request."""

    def prepare(self, request):
        prepared = super().prepare(request)
        object.__setattr__(request, "messages", (Message.of("system", "Be kind."), *request.messages[1:]))
        return prepared


@PLUGINS.runner("test_a_request_is_left_as_it_is")
class PaintsOnPhotos(TinyRunner):
    """It scales the caller's own pixels."""

    def show(self, image, start):
        placed = super().show(image, start)
        np.floor_divide(image.pixels, 2, out=image.pixels)
        return placed


@PLUGINS.runner("test_what_it_does_not_know_it_refuses")
class IgnoresTools(Forgets):
    """It takes tools, and the model never hears of them."""

    def changed(self, request):
        return replace(request, tools=())


@PLUGINS.runner("test_what_it_does_not_know_it_refuses")
class IgnoresThinking(Forgets):
    """It takes a request to think first, and does not."""

    def changed(self, request):
        return replace(request, think=None)


@PLUGINS.runner("test_what_it_does_not_know_it_refuses")
class IgnoresSuffixes(Forgets):
    """It goes on with a text whose end was given."""

    def changed(self, request):
        return replace(request, suffix=None)


@PLUGINS.runner("test_no_tool_is_called_where_that_is_forbidden")
class CallsToolsAlways(Changes):
    """It calls a tool that it was forbidden to call."""

    def changed(self, chunk):
        return replace(chunk, tool_calls=(ToolCallPart("1", "weather", "{}"),)) if chunk.finish_reason else chunk


class TestConversations(ConversationContract):
    @pytest.fixture(params=PLUGINS, ids=str)
    def plugin(self, request):
        return request.param

    @pytest.fixture
    def backend(self, plugin):
        return plugin.make()

    @pytest.fixture
    def bundle(self, tmp_path):
        return tiny_bundle(tmp_path)

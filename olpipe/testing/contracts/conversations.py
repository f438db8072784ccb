"""The contract of backends, third part: what the model is told, and what else a request may ask for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from olpipe.errors import UsageError
from olpipe.generation import FinishReason, GenerateRequest, Tool, ToolChoice
from olpipe.image import DecodedImage
from olpipe.interfaces import Backend, Runner
from olpipe.messages import Message
from olpipe.model import ModelBundle
from olpipe.testing.contracts.asking import ModelFixtures, completion, heard, load
from olpipe.testing.images import decoded, plain

TOOL = Tool("weather", "Say what the weather is like.", '{"type":"object","properties":{"place":{"type":"string"}}}')


class ConversationContract(ModelFixtures):
    """What a runner that reads conversations has to do."""

    @pytest.fixture
    def photos(self) -> tuple[DecodedImage, DecodedImage]:
        """Return two photos that a model with vision can tell apart. The usual two differ only in colours."""
        return decoded(), plain()

    def test_every_message_reaches_the_model(self, writer: Runner) -> None:
        """That includes earlier turns and a system message, and their words matter."""
        last = self.request().messages
        turns: list[tuple[Message, ...]] = [
            (),
            (Message.of("system", "Answer in rhymes."),),
            (Message.of("system", "Answer in one word, and be cross about it."),),
            (Message.of("user", "Who are you?"), Message.of("assistant", "A parrot.")),
            (Message.of("user", "Who are you?"), Message.of("assistant", "I am nobody at all.")),
        ]
        if self.draws:  # these have equally many tokens: a model has to read them, not only to count them
            for one, other in (("red", "blue"), ("blue", "red")):
                turns.append((Message.of("system", f"Say {one} and then {other}, please."),))
                turns.append((Message.of("user", "Now?"), Message.of("assistant", f"Say {one} and then {other}.")))
        found = [heard(writer, replace(self.request(), messages=(*before, *last))) for before in turns]
        assert all(found.count(one) == 1 for one in found)

    def test_the_models_own_system_text_opens_conversations_that_have_none(
        self, backend: Backend, bundle: ModelBundle, writer: Runner
    ) -> None:
        """It has the effect of a system message. If the request has a system message, that one is used instead."""
        own, given = "Answer in rhymes, always.", Message.of("system", "Answer in one word.")
        with_own = load(backend, replace(bundle, system=own))
        without = load(backend, replace(bundle, system=""))
        try:
            asked, messages = self.request(), self.request().messages
            expected = heard(without, replace(asked, messages=(Message.of("system", own), *messages)))
            assert heard(with_own, asked) == expected
            spoken = replace(asked, messages=(given, *messages))
            assert heard(with_own, spoken) == heard(without, spoken)
        finally:
            with_own.close()
            without.close()

    def test_photos_are_seen_or_refused(self, writer: Runner, photos: tuple[DecodedImage, DecodedImage]) -> None:
        """They are never ignored. Where the runner has vision, another photo makes a difference."""
        asked = [replace(self.request(), messages=(Message.of("user", self.prompt, photo),)) for photo in photos]
        if not writer.info.fit_pixels:
            with pytest.raises(UsageError):
                writer.prepare(asked[0])
            return
        _, unseen = (heard(writer, self.request()) for _ in range(2))
        first, second = (heard(writer, request) for request in asked)
        assert len({first, second, unseen}) == 3
        assert heard(writer, asked[0]) == first

    def test_the_order_of_photos_is_kept(self, writer: Runner, photos: tuple[DecodedImage, DecodedImage]) -> None:
        """A question about the first photo must not be answered for the second one."""
        if not writer.info.fit_pixels:
            pytest.skip("this runner does not see")
        orders = (photos, photos[::-1])
        asked = [replace(self.request(), messages=(Message.of("user", self.prompt, *order),)) for order in orders]
        first, second = (heard(writer, request) for request in asked)
        assert first != second

    def test_a_request_is_left_as_it_is(self, writer: Runner, photos: tuple[DecodedImage, DecodedImage]) -> None:
        """So are the pixels of its photos: others may read them at the same time."""
        photo = photos[0]
        shown = (photo,) if writer.info.fit_pixels else ()
        messages = (Message.of("system", "Be brief."), Message.of("user", self.prompt, *shown))
        request = replace(self.request(), messages=messages, avoid=("sea",))
        before, pixels = (replace(request), replace(request.sampling)), photo.pixels.copy()
        completion(writer, request)
        assert (request, request.sampling) == before
        assert request.messages == messages
        assert np.array_equal(photo.pixels, pixels)

    @pytest.mark.parametrize("option", ["thinking", "tools", "a suffix", "a raw prompt"])
    def test_what_it_does_not_know_it_refuses(self, writer: Runner, option: str) -> None:
        """A runner that accepts such a request does what it asks for."""
        plain_request = self.request(f"{self.prompt} Use the tool {TOOL.name}.")
        wishes: dict[str, GenerateRequest] = {
            "thinking": replace(plain_request, think="on"),
            "tools": replace(plain_request, tools=(TOOL,)),
            "a suffix": replace(plain_request, suffix=" and that was all."),
            "a raw prompt": replace(plain_request, raw=True),
        }
        base = replace(plain_request, think="off") if option == "thinking" else plain_request
        try:
            special = heard(writer, wishes[option])
        except UsageError:
            return
        if option == "a raw prompt":  # a model without a chat template reads both alike
            return
        assert special != heard(writer, base)

    def test_no_tool_is_called_where_that_is_forbidden(self, writer: Runner) -> None:
        """The choice `none` leaves the tools out."""
        text = f"{self.prompt} Use the tool {TOOL.name}."
        request = replace(self.request(text), tools=(TOOL,), tool_choice=ToolChoice("none"))
        one = completion(writer, request)
        assert one.tool_calls == ()
        assert one.finish_reason is not FinishReason.TOOL_CALLS

"""Conversations that are too long are cut: what is left out, what stays, and what is told of it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from olpipe.decoding.cutting import CHARACTERS, SHARE, fitting_prompt, too_long, units
from olpipe.decoding.prompt import PlacedImage, Prompt
from olpipe.decoding.vocabulary import Vocabulary
from olpipe.errors import UsageError
from olpipe.generation import GenerateRequest, SamplingParams
from olpipe.image import DecodedImage
from olpipe.messages import ImagePart, Message, TextPart, ThinkingPart, ToolCallPart, ToolResultPart
from olpipe.testing.models import write_tokenizer

CONTEXT = 256
ROOM = CONTEXT - CONTEXT // SHARE
IMAGE_TOKENS = 40
PHOTO = DecodedImage(np.zeros((2, 2, 3), np.uint8), width=2, height=2)
CALL = Message("assistant", (ToolCallPart("1", "weather", '{"place":"here"}'),))


def user(text, *images):
    return Message.of("user", text, *images)


def assistant(text):
    return Message.of("assistant", text)


def result(text):
    return Message("tool", (ToolResultPart("1", "weather", text),))


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory):
    return Vocabulary.read(write_tokenizer(tmp_path_factory.mktemp("tokenizer")))


class Renderer:
    """Writes messages one after the other, and remembers which it was given."""

    def __init__(self, vocabulary):
        self.vocabulary, self.rendered = vocabulary, []

    def __call__(self, request):
        self.rendered.append(request.messages)
        tokens, images = [], []
        for message in request.messages:
            tokens += self.vocabulary.encode(f"<|im_start|>{message.role}\n")
            for part in message.parts:
                if isinstance(part, ImagePart):
                    images.append(PlacedImage(len(tokens), self.image_tokens(request), "photo"))
                    tokens += [0] * self.image_tokens(request)
                else:
                    text = part.name + part.arguments if isinstance(part, ToolCallPart) else part.text
                    tokens += self.vocabulary.encode(text if request.raw else self.vocabulary.quote(text))
            tokens += self.vocabulary.encode("<|im_end|>\n")
        return Prompt(tuple(tokens), tuple(images))

    def image_tokens(self, request):
        return IMAGE_TOKENS if request.truncate else IMAGE_TOKENS // 4

    @property
    def last(self):
        return self.rendered[-1]


@pytest.fixture
def render(vocabulary):
    return Renderer(vocabulary)


@pytest.fixture
def cut(render, vocabulary):
    def cut(*messages, context_length=CONTEXT, **changes):
        request = GenerateRequest("m", messages, SamplingParams(max_tokens=1000), truncate=True)
        return fitting_prompt(replace(request, **changes), render, vocabulary, context_length=context_length)

    return cut


def chat(turns, *, words="the cat and the dog"):
    """Return a conversation of questions and answers that ends with a question."""
    said = [(user if at % 2 == 0 else assistant)(f"{at} {words}") for at in range(2 * turns + 1)]
    return tuple(said)


def test_what_fits_is_rendered_once_and_left_as_it_is(cut, render):
    found = cut(*chat(1))
    assert (found.cut_messages, found.cut_tokens, len(render.rendered)) == (0, 0, 1)
    assert render.last == chat(1)


def test_nothing_is_cut_unless_that_is_allowed(cut, render):
    found = cut(*chat(50), truncate=False)
    assert len(found.prompt) > CONTEXT
    assert (found.cut_messages, render.last) == (0, chat(50))


@pytest.mark.parametrize("turns", [10, 20, 50, 800])
def test_the_oldest_messages_go_and_the_newest_stay(cut, render, turns):
    messages = (Message.of("system", "Be brief."), *chat(turns))
    found = cut(*messages)
    assert len(found.prompt) <= ROOM
    assert found.prompt.tokens == render(replace(GenerateRequest("m", render.last), truncate=True)).tokens
    system, *kept = render.last
    assert system == messages[0]
    assert tuple(kept) == messages[-len(kept) :]
    assert kept[0].role == "user", "a question goes together with its answer"
    assert found.cut_messages == len(messages) - len(render.last) > 0


def test_no_more_is_left_out_than_one_portion_too_much(cut, render):
    messages = chat(50)
    found = cut(*messages)
    left_out = messages[: found.cut_messages]
    more = render(GenerateRequest("m", messages[len(left_out) - 2 :]))
    one_exchange = len(more) - len(found.prompt)
    assert len(found.prompt) + one_exchange > ROOM - CONTEXT // SHARE


def test_the_next_turns_begin_with_the_same_messages(cut, render):
    beginnings = []
    for turns in range(100, 120):
        cut(*chat(turns), context_length=8 * CONTEXT)
        beginnings.append(render.last[0])
    changes = sum(one != other for one, other in pairwise(beginnings))
    assert 0 < changes <= 5, "too many turns begin with other messages than the one before, and are read anew"


def test_a_long_chat_is_rendered_a_few_times_and_never_as_a_whole(cut, render):
    found = cut(*chat(800))
    assert found.cut_messages > 1500
    assert len(render.rendered) <= 4
    assert max(map(len, render.rendered)) < 100


def test_the_tokens_of_what_was_left_out_are_counted(cut, render, vocabulary):
    messages = (user("one"), assistant("two"), *chat(30))
    found = cut(*messages)
    texts = [message.text for message in messages[: found.cut_messages]]
    assert found.cut_tokens == sum(len(vocabulary.encode(text)) for text in texts)


def test_the_requests_own_context_is_kept(render, vocabulary):
    request = GenerateRequest("m", chat(50), SamplingParams(max_tokens=1000), context_length=CONTEXT, truncate=True)
    assert len(fitting_prompt(request, render, vocabulary, context_length=10_000).prompt) <= ROOM


def test_an_answer_of_few_tokens_leaves_more_room_for_the_prompt(cut):
    sampling = SamplingParams(max_tokens=1)
    assert len(cut(*chat(50, words=""), sampling=sampling).prompt) > ROOM - CONTEXT // SHARE
    assert len(cut(*chat(50, words=""), sampling=sampling).prompt) < CONTEXT


def test_system_messages_stay_wherever_they_stand(cut, render):
    first, later = Message.of("system", "Be brief."), Message.of("system", "Be kind.")
    cut(first, *chat(20), later, *chat(20))
    assert [message for message in render.last if message.role == "system"] == [first, later]


def test_a_result_of_a_tool_goes_and_stays_with_its_call(cut, render):
    long = "the street " * 15
    tools = [message for _ in range(6) for message in (CALL, result(long))]
    cut(user("first"), assistant("yes"), user("weather?"), *tools)
    kept = render.last
    assert kept[0] == user("weather?"), "the last question stays"
    assert kept[-1] == tools[-1]
    roles = [message.role for message in kept[1:]]
    assert roles == ["assistant", "tool"] * (len(roles) // 2)
    assert 2 <= len(roles) < 12


def test_units_are_questions_with_their_answers_and_calls_with_their_results():
    system, call = Message.of("system", "s"), CALL
    messages = (
        *(system, assistant("hello"), user("1"), assistant("a"), user("2"), call, result("x"), result("y")),
        *(assistant("b"), user("3"), call, result("z"), call, result("w")),
    )
    assert units(messages) == [[1], [2, 3], [4, 5, 6, 7, 8], [10, 11]]
    assert units((assistant("a"), assistant("b"), assistant("c"))) == [[0], [1]]
    assert units((system,)) == units(()) == units((user("only"),)) == []


def test_a_text_that_is_too_long_alone_loses_its_beginning(cut, render):
    words = " ".join(f"word{number}" for number in range(500))
    found = cut(Message.of("system", "Be brief."), user("before"), assistant("yes"), user(words))
    system, last = render.last
    assert system.text == "Be brief."
    assert words.endswith(last.text)
    assert 0 < len(last.text) < len(words)
    assert ROOM - 8 <= len(found.prompt) <= ROOM
    assert found.cut_messages == 2
    assert found.cut_tokens > 1000


def test_characters_of_several_bytes_stay_whole(cut, render):
    text = "日本語のテキスト" * 100
    cut(user(text))
    assert text.endswith(render.last[0].text)
    assert len(render.last[0].text) > 20


def test_images_of_a_text_that_is_cut_stay(cut, render):
    cut(user("the cat " * 500, PHOTO, PHOTO))
    (message,) = render.last
    assert len(message.images) == 2
    assert message.text.endswith("the cat ")


def test_images_are_counted_and_go_with_their_messages(cut, render):
    turns = [message for at in range(8) for message in (user(f"{at}?", PHOTO), assistant("a cat"))]
    found = cut(*turns, user("and now?"))
    assert len(found.prompt) <= ROOM
    left = found.cut_messages // 2
    assert len(found.prompt.images) == 8 - left
    assert found.cut_tokens >= left * IMAGE_TOKENS


def test_images_get_smaller_before_a_text_is_cut(cut, render):
    photos = [PHOTO] * 7  # too many of the usual size, and not too many of a quarter of that
    found = cut(user("what is it?", *photos))
    assert [image.length for image in found.prompt.images] == [IMAGE_TOKENS // 4] * 7
    assert render.last[0].text == "what is it?"


def test_the_longest_text_of_what_stays_is_cut(cut, render):
    question = user("the dog " * 400)
    cut(question, CALL, result("rain"))
    kept = render.last
    assert kept[1:] == (CALL, result("rain"))
    assert question.text.endswith(kept[0].text)
    cut(user("weather?"), CALL, result("the street " * 400))
    assert render.last[:2] == (user("weather?"), CALL)
    assert render.last[2].parts[0].text.endswith("the street ")


def test_thoughts_and_calls_are_not_cut(cut, render):
    thought = Message("assistant", (ThinkingPart("hm"), TextPart("the cat " * 500)))
    cut(user("go on"), thought)
    assert render.last[-1].parts[0] == ThinkingPart("hm")


def test_a_raw_prompt_keeps_its_special_tokens_whole(cut, render, vocabulary):
    text = "<|im_start|>user\nthe cat<|im_end|>\n" * 100
    cut(user(text), raw=True)
    (kept,) = render.last
    assert text.endswith(kept.text)
    assert vocabulary.encode(kept.text) == vocabulary.encode(text)[-len(vocabulary.encode(kept.text)) :]


def test_a_prompt_that_fits_is_kept_although_it_leaves_little_room_for_the_answer(cut, render, vocabulary):
    text = "the" * (CONTEXT - 12)
    found = cut(user(text))
    assert ROOM < len(found.prompt) < CONTEXT
    assert (found.cut_tokens, render.last) == (0, (user(text),))


def test_a_system_message_that_is_too_long_is_told_and_not_cut(cut):
    system = Message.of("system", "the cat " * 300)
    found = cut(system, user("hello"))
    assert len(found.prompt) > CONTEXT
    assert found.cut_tokens == 0


def test_a_text_without_structure_is_cut_although_it_has_far_more_characters_than_the_context(cut, render):
    text = "x" * (CHARACTERS * CONTEXT * 3)
    assert ROOM - 8 <= len(cut(user(text)).prompt) <= ROOM


def test_what_the_template_refuses_is_told(vocabulary):
    def refuse(request):
        raise UsageError("the model's chat template refuses this conversation")

    request = GenerateRequest("m", chat(50), truncate=True)
    with pytest.raises(UsageError, match="refuses this conversation"):
        fitting_prompt(request, refuse, vocabulary, context_length=CONTEXT)


@pytest.mark.parametrize(
    ("changes", "most", "message", "hint"),
    [
        ({}, 100, "the prompt has 120 tokens, and `m` holds 100", "shorten the prompt, or raise OLLAMA_CONTEXT_LENGTH"),
        (
            {"context_length": 50},
            50,
            "the prompt has 120 tokens, and the request allows 50",
            "shorten the prompt, or allow more",
        ),
        ({"truncate": True}, 100, "the prompt has 120 tokens, and `m` holds 100", "shorten the system message"),
    ],
)
def test_the_error_says_the_numbers_and_what_to_do(changes, most, message, hint):
    error = too_long(replace(GenerateRequest("m", ()), **changes), 120, most=most, held=100)
    assert error.message == message
    assert hint in (error.hint or "")

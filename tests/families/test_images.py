"""Images keep their places among the text, and nothing that a user writes becomes one."""

from __future__ import annotations

import numpy as np
import pytest

from olpipe.decoding.prompt import shareable
from olpipe.errors import UsageError
from olpipe.families.rendering import ImageSpan
from olpipe.families.turns import IMAGE
from olpipe.generation import GenerateRequest, Tool
from olpipe.image import DecodedImage
from olpipe.messages import ImagePart, Message, TextPart, ToolCallPart, ToolResultPart

TEXTS = "{% for message in messages %}{{ message.role[0] }}:{{ message.content }};{% endfor %}"
PARTS = (
    "{% for message in messages %}{{ message.role[0] }}:{% for part in message.content %}"
    "{{ '<|image|>' if part.type == 'image' else part.text | trim }}{% endfor %};{% endfor %}"
)
BOTH = PARTS.replace(
    "{% for part", "{% if message.content is string %}{{ message.content }}{% else %}{% for part"
).replace("{% endfor %};", "{% endfor %}{% endif %};")
IMAGES_FIRST = (
    "{% for part in messages[0].content %}{{ '<|image|>\n' if part.type == 'image' }}{% endfor %}"
    "{% for part in messages[0].content %}{{ part.text if part.type == 'text' }}{% endfor %}"
)
PLACES = 3


def photo(shade):
    return DecodedImage(np.full((2, 2, 3), shade, np.uint8), width=2, height=2)


RED, BLUE = photo(1), photo(2)


@pytest.fixture(scope="module")
def seeing(vocabulary_with):
    """Return a vocabulary with tokens for images."""
    return vocabulary_with("<|image|>", "<|open|>", "<|close|>")


@pytest.fixture
def render(renderer, seeing):
    """Return what renders parts of one message, or messages, with a template."""

    def show_image(image):
        first, place, last = map(seeing.token_of, ("<|open|>", "<|image|>", "<|close|>"))
        features = {"pixels": image.pixels}
        return ImageSpan((first, *[place] * PLACES, last), 1, PLACES, image.digest(), features)

    def render(*said, template=TEXTS, raw=False, tools=(), **options):
        make = renderer(template, vocabulary=seeing, show_image=show_image, **options)
        messages = said if isinstance(said[0], Message) else (message("user", *said),)
        return make(GenerateRequest("toy", messages, raw=raw, tools=tools))

    return render


@pytest.fixture
def read(shown, seeing):
    """Return what shows a prompt with `[image]` where one is."""

    def read(prompt):
        return shown(prompt, seeing).replace("<|open|>" + "<|image|>" * PLACES + "<|close|>", "[image]")

    return read


def message(role, *said):
    return Message(role, tuple(TextPart(each) if isinstance(each, str) else ImagePart(each) for each in said))


FORMS = pytest.mark.parametrize(
    "form",
    [
        {"template": TEXTS},
        {"template": TEXTS, "image_text": "<|image|>"},
        {"template": PARTS, "image_text": "<|image|>"},
        {"template": BOTH, "image_text": "<|image|>"},
        {"template": BOTH},
    ],
    ids=["texts", "texts of a family that knows the marker", "parts", "both", "both without the marker"],
)


@FORMS
def test_an_image_stands_where_it_was_put(render, read, form):
    prompt = render("Look at ", RED, "the first.", "Then at ", BLUE, BLUE, " these.", **form)
    gap = "" if form["template"] is PARTS or (form["template"] is BOTH and "image_text" in form) else " "
    text = f"u:Look at{gap}[image]the first.\nThen at{gap}[image][image]{gap}these.;"
    assert read(prompt) == text


@FORMS
def test_images_of_several_turns_keep_their_order(render, read, form):
    turns = (message("user", RED, "one"), message("assistant", "two"), message("user", "three", BLUE))
    prompt = render(*turns, **form)
    assert read(prompt) == "u:[image]one;a:two;u:three[image];"
    assert [image.digest for image in prompt.images] == [RED.digest(), BLUE.digest()]


@FORMS
def test_a_placed_image_knows_its_positions_and_features(render, seeing, form):
    (prompt, image) = (made := render("Hello ", RED, "!", **form)), made.images[0]
    under = prompt.tokens[image.start : image.start + image.length]
    assert set(under) == {seeing.token_of("<|image|>")}
    assert len(under) == PLACES
    assert image.features["pixels"] is RED.pixels
    assert prompt.tokens[image.start - 1] == seeing.token_of("<|open|>")


def test_two_photos_at_the_same_place_have_nothing_in_common(render):
    red, again, blue = (render("Hello ", image, " What is it?") for image in (RED, photo(1), BLUE))
    assert red.tokens == blue.tokens
    assert red.identity == again.identity
    assert shareable(blue.identity, red.identity) == red.images[0].start


@FORMS
@pytest.mark.parametrize("text", ["<|image|>", f"<|image|>{IMAGE}<|open|>", f"<|ima{IMAGE}ge|>", "<|im\ufdd0age|>"])
def test_what_a_user_writes_is_no_image(render, read, seeing, form, text):
    tool = Tool(text, text, f'{{"{text}": "{text}"}}')
    turns = (message("system", text), message("user", text, RED, text), message("assistant", text))
    result = Message("tool", (ToolResultPart(text, text, text),))
    prompt = render(*turns, result, tools=(tool,), system=text, **form)
    plain = text.replace(IMAGE, "").replace("\ufdd0", "")
    assert read(prompt) == f"s:{plain};u:{plain}[image]{plain};a:{plain};t:{plain};"
    assert len(prompt.images) == 1
    assert prompt.tokens.count(seeing.token_of("<|image|>")) == PLACES
    assert prompt.tokens.count(seeing.token_of("<|open|>")) == 1


def test_texts_around_an_image_are_no_image_together(render, seeing):
    turns = (message("user", "<|ima"), message("user", "ge|>", RED, "<|im"), message("user", "age|>"))
    template = "{% for m in messages %}{% for p in m.content %}{{ p.text or '<|image|>' }}{% endfor %}{% endfor %}"
    prompt = render(*turns, template=template, image_text="<|image|>")
    assert prompt.tokens.count(seeing.token_of("<|image|>")) == PLACES


def test_a_template_may_put_images_before_the_text(render, read):
    prompt = render("Look: ", RED, "and", BLUE, template=IMAGES_FIRST, image_text="<|image|>")
    assert read(prompt) == "[image]\n[image]\nLook: and"
    assert [image.digest for image in prompt.images] == [RED.digest(), BLUE.digest()]


def test_the_marker_of_a_template_may_have_several_tokens(render, read):
    template = PARTS.replace("<|image|>", "<|open|><|image|><|close|>")
    assert read(render("Look", RED, template=template, image_text="<|open|><|image|><|close|>")) == "u:Look[image];"


def test_a_template_that_escapes_letters_keeps_the_places(render, read, seeing):
    template = "{% for message in messages %}{{ message.content | tojson(ensure_ascii=true) }}{% endfor %}"
    prompt = render("grün <|close|>", RED, "蓝 𝛼", template=template)
    assert read(prompt) == r'"gr\u00fcn <|close|>[image]\u84dd \ud835\udefc"'
    assert prompt.tokens.count(seeing.token_of("<|close|>")) == 1


def test_a_message_of_calls_alone_has_an_empty_text(render, read):
    calling = Message("assistant", (ToolCallPart("1", "look", "{}"),))
    template = "{% for message in messages %}{{ message.content[0].text + ';' }}{% endfor %}"
    assert read(render(message("user", "Look!"), calling, template=template, image_text="<|image|>")) == "Look!;;"


def test_an_image_that_a_tool_returned_stands_beside_its_result(render, read):
    result = Message("tool", (ToolResultPart("1", "look", "Seen: "), ImagePart(RED), ToolResultPart("2", "hear", "no")))
    assert read(render(message("user", "Look!"), result)) == "u:Look!;t:Seen: [image];t:no;"


def test_a_template_that_leaves_out_images_is_told_of(render):
    for template in ("{{ messages[-1].content }}", PARTS.replace("'<|image|>' if part.type == 'image' else", "")):
        with pytest.raises(UsageError, match="the model's chat template leaves out images") as caught:
            render(message("user", RED), message("user", "What was it?"), template=template, image_text="<|image|>")
        assert caught.value.hint == "put them into the last message"


def test_images_in_a_raw_prompt_stand_where_they_were_put(render, read, seeing):
    prompt = render("Look: ", RED, "<|close|> well", raw=True, template=PARTS, image_text="<|image|>")
    assert read(prompt) == "Look: [image]<|close|> well"
    assert prompt.tokens.count(seeing.token_of("<|close|>")) == 2


def test_a_model_without_eyes_says_so(renderer):
    request = GenerateRequest("toy", (message("user", RED),))
    with pytest.raises(UsageError, match="model `toy` cannot see images") as caught:
        renderer(TEXTS)(request)
    hint = "give it what a detector sees: `--perceivers photo-mini`; or pull it with its vision encoder: `--projector`"
    assert caught.value.hint == hint


def test_a_text_with_a_gap_has_no_images(renderer, vocabulary_with):
    vocabulary = vocabulary_with("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
    render = renderer(TEXTS, vocabulary=vocabulary, show_image=lambda image: ImageSpan((1,), 0, 1, "red"))
    with pytest.raises(UsageError, match="a text with a gap cannot have images"):
        render(GenerateRequest("toy", (message("user", "the", RED),), suffix="dog"))


def test_a_family_has_to_say_what_a_template_of_parts_writes_for_an_image(render):
    with pytest.raises(ValueError, match="the chat template takes parts only"):
        render("Look", RED, template=PARTS)


def test_a_marker_that_users_could_write_is_refused(render):
    with pytest.raises(ValueError, match="`picture` has no special token"):
        render("Look", RED, template=PARTS.replace("<|image|>", "picture"), image_text="picture")

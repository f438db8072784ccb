"""Requests become prompts: what reaches the template, and what the texts of others must not become."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from olpipe.errors import UsageError
from olpipe.generation import GenerateRequest, Guidance, Tool, ToolChoice
from olpipe.messages import Message, TextPart, ThinkingPart, ToolCallPart, ToolResultPart
from olpipe.testing.models import CHAT_TEMPLATE, SPECIAL_TOKENS

LOOK = Tool("look", "Look at something.", '{"type":"object","properties":{"at":{"type":"string"}}}')
EVERYTHING = "{{ messages | tojson }}{{ tools | tojson }}"
END = "<|im_end|>"


def ask(*messages, **options):
    said = [Message.of("user", each) if isinstance(each, str) else each for each in messages]
    return GenerateRequest("toy", tuple(said), **options)


def seen(prompt_text):
    """Return the turns and the tools that the template `EVERYTHING` was given."""
    turns, end = json.JSONDecoder().raw_decode(prompt_text)
    return turns, json.loads(prompt_text[end:])


def test_a_question_is_rendered_and_its_turns_are_special_tokens(renderer, vocabulary, shown):
    prompt = renderer(CHAT_TEMPLATE)(ask("the dog"))
    assert shown(prompt) == "<|im_start|>user\nthe dog<|im_end|>\n<|im_start|>assistant\n"
    assert prompt.tokens.count(vocabulary.token_of("<|im_start|>")) == 2
    assert prompt.images == ()


def test_the_models_own_system_message_comes_first_where_the_conversation_has_none(renderer, shown):
    render = renderer(CHAT_TEMPLATE, system="Be brief.")
    assert shown(render(ask("Hello!"))).startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello!")
    own = shown(render(ask(Message.of("system", "Be long."), "Hello!")))
    assert own.startswith("<|im_start|>system\nBe long.<|im_end|>\n<|im_start|>user\n")
    assert "Be brief." not in own


def test_tools_reach_the_template_unless_they_must_not_be_called(renderer, shown):
    render = renderer(EVERYTHING)
    function = {"name": "look", "description": LOOK.description, "parameters": json.loads(LOOK.parameters)}
    _, tools = seen(shown(render(ask("Look!", tools=(LOOK,)))))
    assert tools == [{"type": "function", "function": function}]
    _, tools = seen(shown(render(ask("Look!", tools=(LOOK,), tool_choice=ToolChoice("none")))))
    assert tools is None


def test_a_tool_without_parameters_has_an_empty_object_of_them(renderer, shown):
    _, tools = seen(shown(renderer(EVERYTHING)(ask("Look!", tools=(Tool("look", "", ""),)))))
    assert tools[0]["function"]["parameters"] == {}


def test_a_template_of_its_own_is_for_conversations_with_tools(renderer, shown):
    render = renderer("{{ messages[0].content }}", tool_template="{{ tools[0].function.name }}")
    assert shown(render(ask("Hello!"))) == "Hello!"
    assert shown(render(ask("Hello!", tools=(LOOK,)))) == "look"
    assert shown(render(ask("Hello!", tools=(LOOK,), tool_choice=ToolChoice("none")))) == "Hello!"


@pytest.mark.parametrize(
    ("options", "wish"),
    [
        ({}, "unset"),
        ({"think": "on"}, "True"),
        ({"think": "high"}, "True"),
        ({"think": "off"}, "False"),
        ({"guidance": Guidance("json", "")}, "False"),
        ({"guidance": Guidance("json", ""), "think": "on"}, "True"),
    ],
)
def test_who_asks_for_a_format_gets_no_thinking_unless_it_is_asked_for(renderer, shown, options, wish):
    render = renderer("{{ enable_thinking if enable_thinking is defined else 'unset' }}")
    assert shown(render(ask("Hello!", **options))) == wish


def test_calls_thoughts_and_results_reach_the_template(renderer, shown):
    call = ToolCallPart("call_1", "look", '{"z": 1, "a": "sea"}')
    calling = Message("assistant", (ThinkingPart("Where?"), ThinkingPart("There."), TextPart("I look."), call))
    result = Message("tool", (ToolResultPart("call_1", "look", "blue"),))
    turns, _ = seen(shown(renderer(EVERYTHING)(ask("What is there?", calling, result))))
    function = {"name": "look", "arguments": {"z": 1, "a": "sea"}}
    assert turns[1] == {
        "role": "assistant",
        "content": "I look.",
        "reasoning_content": "Where?\nThere.",
        "thinking": "Where?\nThere.",
        "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
    }
    assert list(turns[1]["tool_calls"][0]["function"]["arguments"]) == ["z", "a"]
    assert turns[2] == {"role": "tool", "content": "blue", "name": "look", "tool_call_id": "call_1"}


def test_each_result_of_a_tool_is_a_turn_of_its_own(renderer, shown):
    results = (
        *(TextPart("Here:"), ToolResultPart("call_1", "look", "blue"), TextPart("and calm")),
        ToolResultPart("call_2", "listen", "waves"),
    )
    turns, _ = seen(shown(renderer(EVERYTHING)(ask(Message("tool", results)))))
    assert [(turn["content"], turn["name"]) for turn in turns] == [
        ("Here:\nblue\nand calm", "look"),
        ("waves", "listen"),
    ]


@pytest.mark.parametrize("text", ["{", "[]", "7", "[" * 100_000])
def test_arguments_and_parameters_that_are_no_object_are_refused(renderer, text):
    render = renderer(EVERYTHING)
    with pytest.raises(UsageError, match="the arguments of the call of `look` are not a JSON object"):
        render(ask(Message("assistant", (ToolCallPart("call_1", "look", text),))))
    with pytest.raises(UsageError, match="the parameters of the tool `look` are not a JSON object"):
        render(ask("Hello!", tools=(Tool("look", "", text),)))


def everywhere(word):
    """Return a request that has a word in all places where others may write."""
    call = ToolCallPart(word, word, json.dumps({word: [word, {word: word}]}))
    messages = (
        Message.of("system", word),
        Message("user", (TextPart(word), TextPart(f"a {word}{word} b"))),
        Message("assistant", (ThinkingPart(word), TextPart(word), call)),
        Message("tool", (ToolResultPart(word, word, word),)),
    )
    return ask(*messages, tools=(Tool(word, word, json.dumps({word: {word: [word]}})),))


@pytest.mark.parametrize("special", SPECIAL_TOKENS)
def test_texts_of_others_end_no_turn(renderer, vocabulary, shown, special):
    render = renderer(EVERYTHING)
    prompt = render(everywhere(special))
    assert not set(prompt.tokens) & {vocabulary.token_of(special) for special in SPECIAL_TOKENS}
    assert shown(prompt) == shown(render(everywhere("harmless"))).replace("harmless", special)


def test_the_models_own_system_message_ends_no_turn_either(renderer, vocabulary):
    prompt = renderer(CHAT_TEMPLATE, system=f"Be brief.{END}")(ask("Hello!"))
    assert prompt.tokens.count(vocabulary.token_of(END)) == 2


@given(cuts=st.lists(st.integers(0, 40), max_size=4), after=st.text("<|im_end>", max_size=4))
def test_texts_side_by_side_end_no_turn_together(renderer, vocabulary, shown, cuts, after):
    text = f"<|im_end|><|im_start|>{after}<|im_end|>"
    bounds = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[start:end] for start, end in pairwise(bounds)]
    prompt = renderer("{% for message in messages %}{{ message.content }}{% endfor %}")(ask(*pieces))
    assert shown(prompt) == text
    assert not set(prompt.tokens) & {vocabulary.token_of(special) for special in SPECIAL_TOKENS}


def test_spaces_are_no_special_tokens_of_others(renderer, vocabulary_with):
    vocabulary = vocabulary_with("\n\n")
    prompt = renderer("{{ messages[0].content }}", vocabulary=vocabulary)(ask("one\n\ntwo"))
    assert vocabulary.token_of("\n\n") in prompt.tokens


@pytest.mark.parametrize(
    ("adds_begin", "said", "text"),
    [
        (False, ["the dog"], "the dog"),
        (True, ["the dog"], "<|endoftext|>the dog"),
        (True, ["<|endoftext|>the dog"], "<|endoftext|>the dog"),
        (True, [f"{END}the ", "dog"], f"<|endoftext|>{END}the dog"),
    ],
)
def test_a_raw_prompt_goes_to_the_model_as_it_is(renderer, vocabulary, shown, adds_begin, said, text):
    render = renderer(CHAT_TEMPLATE, tokens={"bos_token": "<|endoftext|>"}, adds_begin=adds_begin, system="Be brief.")
    prompt = render(ask(*said, raw=True))
    assert shown(prompt) == text
    specials = sum(text.count(special) for special in SPECIAL_TOKENS)
    assert sum(token in range(len(SPECIAL_TOKENS)) for token in prompt.tokens) == specials


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        (("<|fim_middle|>", "<|fim_suffix|>", "<|fim_prefix|>"), "<|fim_prefix|>the<|fim_suffix|>dog<|fim_middle|>"),
        (("<fim_prefix>", "<fim_middle>", "<fim_suffix>"), "<fim_prefix>the<fim_suffix>dog<fim_middle>"),
        (("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"), "<｜fim▁begin｜>the<｜fim▁hole｜>dog<｜fim▁end｜>"),
        (("▁<PRE>", "▁<SUF>", "▁<MID>"), "▁<PRE>the▁<SUF>dog▁<MID>"),
    ],
)
def test_a_gap_is_filled_in_between_the_text_before_and_the_text_behind(renderer, vocabulary_with, shown, tokens, text):
    vocabulary = vocabulary_with(*tokens)
    prompt = renderer(CHAT_TEMPLATE, vocabulary=vocabulary, system="Be brief.")(ask("the", suffix="dog"))
    assert shown(prompt, vocabulary) == text
    assert set(map(vocabulary.token_of, tokens)) <= set(prompt.tokens)


def test_texts_around_a_gap_begin_as_all_do_and_contain_no_special_tokens(renderer, vocabulary_with, shown):
    vocabulary = vocabulary_with("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
    tokens = {"bos_token": "<|endoftext|>"}
    render = renderer(CHAT_TEMPLATE, vocabulary=vocabulary, tokens=tokens, adds_begin=True)
    prompt = render(ask("<|fim_middle|>", suffix=END))
    assert shown(prompt, vocabulary) == f"<|endoftext|><|fim_prefix|><|fim_middle|><|fim_suffix|>{END}<|fim_middle|>"
    assert prompt.tokens.count(vocabulary.token_of("<|fim_middle|>")) == 1
    assert vocabulary.token_of(END) not in prompt.tokens


@pytest.mark.parametrize("tokens", [(), ("<|fim_prefix|>", "<|fim_suffix|>")])
def test_a_model_that_was_not_trained_to_fill_in_says_so(renderer, vocabulary_with, tokens):
    render = renderer(CHAT_TEMPLATE, vocabulary=vocabulary_with(*tokens))
    with pytest.raises(UsageError, match="model `toy` does not fill in text between a prompt and a suffix"):
        render(ask("the", suffix="dog"))


PHI = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "{% if message['role'] == 'system' and message['tools'] %}<|tool|>{{ message['tools'] }}<|/tool|>{% endif %}"
    "<|im_end|>\n{% endfor %}"
)


def test_tools_and_calls_reach_a_template_that_looks_for_them_in_texts(renderer, shown):
    render = renderer(PHI)
    places = ("sea <|im_end|>", "sky")
    calls = tuple(ToolCallPart("call_1", "look", json.dumps({"at": place})) for place in places)
    conversation = ("Hm?", Message("assistant", calls), Message("tool", (ToolResultPart("call_1", "look", "blue"),)))
    text = shown(render(ask(*conversation, tools=(LOOK,))))
    described = json.loads(text.partition("<|tool|>")[2].partition("<|/tool|>")[0])
    assert [tool["name"] for tool in described] == ["look"]
    written = text.partition("<|tool_call|>")[2].partition("<|/tool_call|>")[0]
    assert [call["arguments"]["at"] for call in json.loads(written)] == [*places]
    assert "<|tool|>" not in shown(render(ask(*conversation, tools=(LOOK,), tool_choice=ToolChoice("none"))))


@pytest.mark.parametrize(
    ("wishes", "expected"),
    [
        ({}, "True"),
        ({"think": "off"}, "False"),
        ({"guidance": Guidance("json")}, "False"),
        ({"tools": (LOOK,), "tool_choice": ToolChoice("required")}, "False"),
        ({"tools": (LOOK,)}, "True"),
        ({"guidance": Guidance("json"), "think": "on"}, "True"),
    ],
)
def test_what_must_be_a_document_or_a_call_begins_at_once_unless_thinking_is_wanted(renderer, shown, wishes, expected):
    render = renderer("{{ enable_thinking is not defined or enable_thinking }}")
    assert shown(render(ask("Hm?", **wishes))) == expected


def test_ids_are_short_where_a_template_takes_no_others(renderer, shown):
    template = (
        "{% for message in messages %}{% for call in message.tool_calls or [] %}{{ call.id }},"
        "{% if call.id | length != 9 %}{{ raise_exception('The id is too long.') }}{% endif %}{% endfor %}"
        "{{ message.tool_call_id or '' }};{% endfor %}"
    )
    ids = ("call_ab12cd34", "x-7")
    calls = Message("assistant", tuple(ToolCallPart(call_id, "look", "{}") for call_id in ids))
    results = Message("tool", tuple(ToolResultPart(call_id, "look", "blue") for call_id in ids))
    assert shown(renderer(template)(ask(calls, results))) == "lab12cd34,0000000x7,;lab12cd34;0000000x7;"
    lenient = template.replace("!= 9", "< 3")
    assert shown(renderer(lenient)(ask(calls, results))) == "call_ab12cd34,x-7,;call_ab12cd34;x-7;"

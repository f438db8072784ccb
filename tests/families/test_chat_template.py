"""Templates come from strangers: what is wrong with one is said in one line, and none can hold up the others."""

from __future__ import annotations

import pytest

from olpipe.errors import ModelCorrupt, UsageError
from olpipe.families.chat_template import ChatTemplate
from olpipe.families.sandbox import MOST_CHARACTERS, MOST_STEPS

HELLO = [{"role": "user", "content": "Hello!"}]
ROUNDS = "{% for a in range(9999) %}{% for b in range(9999) %}"
FAR_TOO_MUCH = "{{ 'x' * 9999999 }}"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{% for message in messages %}", "Unexpected end of template."),
        ("{{ messages[ }}", "unexpected '}'"),
        ("{% unknown %}", "Encountered unknown tag 'unknown'."),
        ("{{ messages | unknown }}", "No filter named 'unknown'."),
        ("\n\n{% generation %}Hello!", "(line 3)"),
        ("{% break %}", "'break' outside loop"),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "recursion"),
    ],
)
def test_what_is_not_jinja_is_refused_when_the_model_is_loaded(source, reason):
    with pytest.raises(ModelCorrupt) as caught:
        ChatTemplate(source)
    assert caught.value.message.startswith("the model's chat template is not valid: ")
    assert reason in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{{ nobody.name }}", "'nobody' is undefined"),
        ("{{ messages[7].content }}", "list object has no element 7"),
        ("{{ 'x' + 1 }}", 'can only concatenate str (not "int") to str'),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ messages.index(1) }}", "1 is not in list"),
        ("{% include 'secrets.txt' %}", "no loader for this environment specified"),
        ("{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}", "recursion"),
        ("{{ messages | tojson(indent=messages) }}", "can't multiply sequence"),
    ],
)
def test_a_template_that_fails_says_why(source, reason):
    with pytest.raises(UsageError) as caught:
        ChatTemplate(source).render(HELLO)
    assert caught.value.message.startswith("the model's chat template fails on this conversation: ")
    assert reason in caught.value.message


def test_a_template_may_refuse_in_its_own_words():
    template = ChatTemplate("{{ raise_exception('Only\n  ' + messages[0].role + 's may speak' + '!' * 999) }}")
    with pytest.raises(UsageError, match=r"refuses this conversation: Only users may speak") as caught:
        template.render(HELLO)
    assert len(caught.value.message) < 400


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (ROUNDS + "{% endfor %}" * 2, f"more than {MOST_STEPS:,} rounds"),
        (ROUNDS + "{% continue %}" + "{% endfor %}" * 2, f"more than {MOST_STEPS:,} rounds"),
        (ROUNDS.replace("b in range(9999)", "b in range(9999) if false") + "{% endfor %}" * 2, "rounds"),
        (
            "{% macro a(n) %}{% if n %}{{ a(n - 1) }}{{ a(n - 1) }}{% endif %}{% endmacro %}{{ a(60) }}",
            f"more than {MOST_STEPS:,} rounds",
        ),
        (f"{{% for a in range(9999) %}}{FAR_TOO_MUCH}{{% endfor %}}", f"more than {MOST_CHARACTERS:,} characters"),
        ("{{ 'x' * 9999999999 }}", "multiplies to something huge"),
        ("{{ 9 ** 99999999 }}", "multiplies to something huge"),
        ("{% set n = namespace(x=9) %}{% for a in range(99) %}{% set n.x = n.x * n.x %}{% endfor %}", "huge"),
        ("{{ messages.__class__.__mro__ }}", "access to attribute '__class__' of 'list' object is unsafe"),
        ("{{ messages.append(1) }}", "access to attribute 'append' of 'list' object is unsafe"),
        ("{{ dict.update(messages[0], {}) }}", "has no attribute 'update'"),
        ("{{ namespace(_content=1) }}", "no name may begin with `_`"),
        ("{% set n = namespace() %}{% set n._content = 1 %}", "no name may begin with `_`"),
    ],
)
def test_a_template_cannot_go_on_for_ever_or_reach_into_python(source, reason):
    with pytest.raises((ModelCorrupt, UsageError), match=reason):
        ChatTemplate(source).render(HELLO)


@pytest.mark.parametrize("source", ["{{ messages.__class__ }}", "{{ '{0.__class__}'.format(messages) }}"])
def test_what_belongs_to_python_is_nothing_to_a_template(source):
    assert ChatTemplate(source).render(HELLO) == ""


def test_after_an_endless_conversation_the_next_one_is_rendered():
    template = ChatTemplate(
        "{% for a in range(messages[0].rounds) %}{% for b in range(9999) %}{% endfor %}{% endfor %}x"
    )
    with pytest.raises(ModelCorrupt, match="something forbidden"):
        template.render([{"role": "user", "rounds": 9999}])
    assert template.render([{"role": "user", "rounds": 1}]) == "x"


def test_a_long_conversation_is_no_endless_one():
    source = "{% for m in messages %}{% for n in messages if n.role == m.role %}{% endfor %}{{ m.content }}{% endfor %}"
    assert ChatTemplate(source).render(HELLO * 800) == "Hello!" * 800


def test_a_template_cannot_change_the_conversation():
    turns = [{"role": "user", "content": "Hello!"}]
    ChatTemplate("{% for m in messages %}{% set m = dict(m, content='x') %}{% endfor %}").render(turns)
    assert turns == HELLO


def test_special_tokens_reach_the_template_and_a_missing_one_is_nothing():
    template = ChatTemplate("{{ bos_token }}{{ messages[0].content }}{{ eos_token }}", {"bos_token": "<s>"})
    assert template.render(HELLO) == "<s>Hello!"


def test_a_special_token_cannot_take_the_place_of_the_conversation():
    assert ChatTemplate("{{ messages[0].content }}", {"messages": "x"}).render(HELLO) == "Hello!"


@pytest.mark.parametrize(
    ("think", "text"),
    [(None, "unset unset unset"), ("off", "False False unset"), ("on", "True True unset"), ("high", "True True high")],
)
def test_the_wish_to_think_has_the_names_that_templates_know(think, text):
    names = ("enable_thinking", "thinking", "reasoning_effort")
    template = ChatTemplate(" ".join(f"{{{{ {name} if {name} is defined else 'unset' }}}}" for name in names))
    assert template.render(HELLO, think=think) == text


def test_the_date_is_todays():
    from datetime import datetime

    before = datetime.now().date().isoformat()
    rendered = ChatTemplate("{{ strftime_now('%Y-%m-%d') }}").render(HELLO)
    assert before <= rendered <= datetime.now().date().isoformat()

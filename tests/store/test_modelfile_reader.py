"""Modelfiles, taken apart.

The first table follows Ollama's own parser: what it reads and what it refuses.
Source: https://github.com/ollama/ollama/blob/main/parser/parser_test.go
"""

import codecs
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from olpipe.errors import UsageError
from olpipe.messages import Message
from olpipe.model import ModelBundle, ModelName
from olpipe.store.modelfile import modelfile
from olpipe.store.modelfile_reader import COMMANDS, decode, read_commands
from olpipe.store.modelfile_recipe import read_recipe


def read(text):
    return [" ".join(filter(None, (one.name, one.subject))) + f"={one.value}" for one in read_commands(text)]


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        ("FROM foo", ["from=foo"]),
        ("from foo", ["from=foo"]),
        ("FrOm\tfoo\n", ["from=foo"]),
        ("  FROM foo", ["from=foo"]),
        ("FROM     a model    ", ["from=a model"]),
        ('FROM "a  model  "', ["from=a  model  "]),
        ("FROM /what/is/the path ", ["from=/what/is/the path"]),
        ("FROM llama3:7b-instruct-q4_K_M", ["from=llama3:7b-instruct-q4_K_M"]),
        ("FROM one\nFROM two", ["from=one", "from=two"]),
        ("# a comment\nFROM foo\n  # another\n", ["from=foo"]),
        ("FROM foo # no comment", ["from=foo # no comment"]),
        ("", []),
        ("\n \n\t\n", []),
        ("PARAMETER what the \nFROM it", ["parameter what=the", "from=it"]),
        ("PARAMETER stop ### User: ", ["parameter stop=### User:"]),
        ('PARAMETER stop "### User: "', ["parameter stop=### User: "]),
        ('PARAMETER stop """### User:\n"""', ["parameter stop=### User:\n"]),
        ("PARAMETER stop <|eot_id|>", ["parameter stop=<|eot_id|>"]),
        ("MESSAGE system Parse things.", ["message system=Parse things."]),
        ('MESSAGE user """\nseveral\nlines\n"""', ["message user=\nseveral\nlines\n"]),
        ('SYSTEM """\nseveral\nlines."""   \t\nFROM x', ["system=\nseveral\nlines.", "from=x"]),
        ('SYSTEM """one line"""', ["system=one line"]),
        ('SYSTEM """with "quotes" in it"""', ['system=with "quotes" in it']),
        ('SYSTEM """""" ', ["system="]),
        ('SYSTEM ""', ["system="]),
        ("SYSTEM \nFROM x", ["system=", "from=x"]),
        ('SYSTEM "\'"', ["system='"]),
        ("""SYSTEM \"\"\"''"'""'""'"'\"\"\"""", ["""system=''"'""'""'"'"""]),
        ('SYSTEM "two\nlines"', ["system=two\nlines"]),
        ('SYSTEM """a""" b\n"""\nFROM x', ['system=a""" b\n', "from=x"]),
        ('TEMPLATE """\n{{ .Prompt }}\n"""', ["template=\n{{ .Prompt }}\n"]),
        ("LICENSE MIT\nLICENSE BSD", ["license=MIT", "license=BSD"]),
        ("ADAPTER ./a.safetensors", ["adapter=./a.safetensors"]),
        ("REQUIRES 0.14.0", ["requires=0.14.0"]),
        ("RENDERER r\nPARSER p\nDRAFT d", ["renderer=r", "parser=p", "draft=d"]),
        ("FROM foo\rSYSTEM x\r", ["from=foo", "system=x"]),
        ('SYSTEM """a\r\nb"""\r\nFROM x\n', ["system=a\r\nb", "from=x"]),
    ],
)
def test_commands_are_read_as_ollama_reads_them(text, commands):
    assert read(text) == commands


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        ('SYSTEM <<END\na"""\nb\nEND\nFROM x', ['system=a"""\nb', "from=x"]),
        ("SYSTEM <<END\nEND", ["system="]),
        ("SYSTEM <<END\n\nEND", ["system="]),
        ("SYSTEM <<END\n\n\nEND", ["system=\n"]),
        ("SYSTEM <<SYS>> hello", ["system=<<SYS>> hello"]),
        ("SYSTEM <<end", ["system=<<end"]),
        ("PARAMETER stop <<X\n ENDX\nX", ["parameter stop= ENDX"]),
    ],
)
def test_a_text_may_stand_between_words(text, commands):
    assert read(text) == commands


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("FROM foo\nBADCOMMAND x", '(line 2): command must be one of "from", "license", "template", '),
        ("FROM foo\n\n# x\nfrom: x", "(line 4): command must be one of "),
        ("FROM", "(line 1): `FROM` has no value"),
        ("\nFROM\nSYSTEM x", "(line 2): `FROM` has no value"),
        ("PARAMETER param1\n", "(line 1): `PARAMETER param1` has no value"),
        ("PARAMETER\n", "(line 1): `PARAMETER` needs a name and a value"),
        ("PARAMETER a-b 3", "(line 1): `PARAMETER` needs a name and a value"),
        ("MESSAGE badguy I'm bad", '(line 1): message role must be one of "system", "user", or "assistant"'),
        ("MESSAGE user", "(line 1): `MESSAGE user` has no value"),
        ('FROM x\nSYSTEM """never\nends""', "(line 2): the quoted text that begins here does not end"),
        ('FROM x\r\nSYSTEM "\r\n', "(line 2): the quoted text that begins here does not end"),
        ('SYSTEM """', "(line 1): the quoted text that begins here does not end"),
        ("SYSTEM <<END\nx\n END", "(line 1): no line `END` ends the text that begins here"),
    ],
)
def test_what_cannot_be_read_is_an_error_with_its_line(text, error):
    with pytest.raises(UsageError, match=re.escape(error)):
        read_commands(text)


def test_a_command_that_is_almost_right_gets_an_offer():
    with pytest.raises(UsageError) as caught:
        read_commands("SYSTM x")
    assert caught.value.hint == "this line begins with `SYSTM`; did you mean `SYSTEM`?"


def test_each_command_knows_its_line():
    text = '# x\nFROM a\n\nSYSTEM """\n\n"""\nPARAMETER seed 1\n'
    assert [(one.name, one.line) for one in read_commands(text)] == [("from", 2), ("system", 4), ("parameter", 7)]


@pytest.mark.parametrize(
    "data",
    [
        "FROM bob\nSYSTEM über\n".encode(),
        codecs.BOM_UTF8 + "FROM bob\nSYSTEM über\n".encode(),
        codecs.BOM_UTF16_LE + "FROM bob\nSYSTEM über\n".encode("utf-16-le"),
        codecs.BOM_UTF16_BE + "FROM bob\nSYSTEM über\n".encode("utf-16-be"),
        "FROM bob\r\nSYSTEM über\r\n".encode(),
        codecs.BOM_UTF16_LE + "FROM bob\r\nSYSTEM über\r\n".encode("utf-16-le"),
    ],
)
def test_files_in_many_encodings_are_the_same_text(data):
    assert decode(data) == "FROM bob\nSYSTEM über\n"


def test_line_ends_within_a_text_stay_where_the_file_has_others():
    assert decode(b'SYSTEM """a\r\nb"""\n') == 'SYSTEM """a\r\nb"""\n'


@pytest.mark.parametrize("data", [b"FROM b\xff\xffob", codecs.BOM_UTF16_LE + b"F"])
def test_what_is_no_text_is_refused(data):
    with pytest.raises(UsageError, match="the Modelfile is not a text in UTF-"):
        decode(data)


# Letters that quotes and lines are made of come often, so that every way to quote is tried.
TEXTS = st.text(st.one_of(st.sampled_from('"<TEX \n\r\t#'), st.characters(codec="utf-8")))
PARAMETERS = st.dictionaries(
    st.from_regex(r"[A-Za-z0-9_]+", fullmatch=True),
    st.one_of(st.integers(), st.booleans(), st.floats(allow_nan=False, allow_infinity=False)),
)


@given(text=TEXTS)
@example(text='a"""\nb')
@example(text='""\n')
@example(text="<<TEXT")
@example(text='"""\nTEXT\n')
@example(text="a\r")
@example(text="\ufeff")
def test_every_text_is_read_as_it_was_written(text):
    written = modelfile(_bundle(system=text, licenses=(text, "x")), template=text)
    expected = [text, text, text, "x"] if text else ["", "x"]
    assert [one.value for one in read_commands(decode(written.encode()))[1:]] == expected


@given(turns=st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), TEXTS)))
def test_all_messages_are_read_as_they_were_written(turns):
    written = modelfile(_bundle(messages=tuple(Message.of(*turn) for turn in turns)), template="")
    assert [(one.subject, one.value) for one in read_commands(decode(written.encode()))[1:]] == turns


@given(parameters=PARAMETERS, stop=st.lists(TEXTS))
def test_all_parameters_are_read_as_they_were_written(parameters, stop):
    given_ = {name: value for name, value in parameters.items() if name != "stop"}
    written = modelfile(_bundle(parameters={**given_, "stop": stop}), template="")
    commands = read_commands(decode(written.encode()))[1:]
    assert [one.value for one in commands if one.subject == "stop"] == stop
    values = {one.subject: one.value for one in commands if one.subject != "stop"}
    assert values == {name: str(value).lower() if value in (True, False) and isinstance(value, bool) else repr(value)
                      for name, value in given_.items()}  # fmt: skip


def test_the_page_on_modelfiles_knows_all_commands_and_its_example_is_one():
    page = (Path(__file__).parents[2] / "docs" / "create.md").read_text(encoding="utf-8")
    example = next(block for block in page.split("```") if block.startswith("\nFROM"))
    recipe = read_recipe(example.encode())
    assert [base.value for base in recipe.bases] == ["photo-mini"]
    assert len(recipe.messages) == len(recipe.parameters) == 2
    assert {name.upper() for name in COMMANDS} - set(re.findall(r"`([A-Z]+)", page)) == set()


@given(text=TEXTS)
def test_any_text_is_read_or_refused_with_a_line(text):
    try:
        read_commands(text)
    except UsageError as error:
        assert re.match(r"\(line \d+\): ", error.message)


def _bundle(**fields):
    return ModelBundle(ModelName.parse("it"), "sha256:0", Path("/srv/view"), Path("/srv/cache"), **fields)

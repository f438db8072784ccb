"""Vocabularies are read from text files and from tables of spreadsheets; a line that cannot be used is named."""

import pytest

from olpipe.errors import RecipeError
from olpipe.tagging.vocabulary import Term
from olpipe.tagging.vocabulary_file import examine, read_vocabulary

CATS = Term("cat", ("kitty", "house cat"), (("zh-Hans", ("猫", "猫咪")), ("de", ("Katze",))))
DOG = Term("dog", (), (("zh-Hans", ("狗",)),))


@pytest.fixture
def read(tmp_path):
    """Return a function that writes a file and reads it."""

    def written(name, data):
        path = tmp_path / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return read_vocabulary(path, name)

    return written


@pytest.mark.parametrize("text", ["cat\nhot dog\n", "\ufeff# cats\r\n\r\ncat\r\n  hot   dog\r\ncat", "cat\rhot dog"])
def test_a_text_file_has_a_term_on_each_line(read, text):
    assert read("terms.txt", text).terms == (Term("cat"), Term("hot dog"))


@pytest.mark.parametrize(
    "text",
    [
        "term,synonyms,zh-Hans,de\ncat,kitty;house cat,猫;猫咪,Katze\ndog,,狗,\n",
        '\ufeffterm;synonyms;zh-Hans;de\r\ncat;"kitty;house cat";"猫;猫咪";Katze\r\n;;;\r\ndog;;狗\r\n',
        '# ours\nsep=;\nTerm;Synonyms;zh-Hans;de\ncat;"kitty;house cat";"猫;猫咪";Katze\n# more\ndog;;狗;\n',
        "term\tsynonyms\tzh-Hans\tde\ncat\tkitty; house cat\t猫;猫咪\tKatze\ndog\t\t狗\t\n",
        "term,synonyms,zh-Hans,de\ncat,kitty,猫,\ncat,house cat,猫;猫咪,Katze\ndog,,狗,\n",
    ],
)
def test_a_table_has_synonyms_and_names_in_other_languages(read, text):
    vocabulary = read("terms.csv", text)
    assert (vocabulary.terms, vocabulary.language) == ((CATS, DOG), "")


def test_a_table_may_say_the_language_of_its_terms(read):
    vocabulary = read("terms.csv", "de,en\nKatze,cat\n")
    assert (vocabulary.language, vocabulary.names("en"), vocabulary.names("fr")) == ("de", ("cat",), ("Katze",))


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.txt", "cat\n…\n", "`a.txt`, line 2: `…` has no letters"),
        ("a.txt", "cat\n" + "x" * 101, f"`a.txt`, line 2: `{'x' * 100}…` has 101 characters, more than 100"),
        ("a.txt", "cat\nd\0g\n", "`a.txt`, line 2: 'd\\x00g' has characters that cannot be seen"),
        ("a.txt", b"cat\ncaf\xe9\n", "`a.txt`, line 2: it is not UTF-8"),
        ("a.txt", "# nothing\n", "the vocabulary `a.txt` has no terms"),
        (
            "a.csv",
            "term,synonims\na,b\n",
            "`a.csv`, line 1: the column `synonims` is not `synonyms`, and no language tag",
        ),
        (
            "a.csv",
            "name of it,de\na,b\n",
            "`a.csv`, line 1: the first column is `name of it`, not `term` or a language tag",
        ),
        ("a.csv", "cat\ndog\n", "`a.csv`, line 1: the first column is `cat`, not `term` or a language tag"),
        ("a.csv", "term,de,DE\na,b,c\n", "`a.csv`, line 1: the column `DE` is there twice"),
        ("a.csv", 'term,de\n"two\nlines",x\n,y\n', "`a.csv`, line 4: the term is missing"),
        ("a.csv", "term,de\na,b,c\n", "`a.csv`, line 2: it has 3 cells, and there are 2 columns"),
        ("a.csv", 'term,de\na,b\nc,"d\n', "`a.csv`, line 3: the row is not CSV: unexpected end of data"),
        ("a.csv", "term,de\na,b\na,c\n", "`a.csv`, line 3: `a` is called `b` on line 2, and `c` here"),
        (
            "a.csv",
            "term,synonyms\nsofa,couch\nchair,Couch\n",
            "`a.csv`, line 3: `Couch` is a synonym of `chair`, and on line 2 of `sofa`",
        ),
    ],
)
def test_what_cannot_be_used_is_told_with_its_line(read, name, data, message):
    with pytest.raises(RecipeError) as caught:
        read(name, data)
    assert caught.value.message == message


def test_all_lines_that_cannot_be_used_are_told(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("-\ncat\n!\n")
    _, errors = examine(path, "a.txt")
    assert [error.message.partition(": ")[0] for error in errors] == ["`a.txt`, line 1", "`a.txt`, line 3"]


def test_a_file_that_is_not_there_is_told_with_the_nearest_one(tmp_path):
    (tmp_path / "terms.csv").touch()
    with pytest.raises(RecipeError, match=r"the vocabulary `term\.csv` cannot be read: No such file") as caught:
        read_vocabulary(tmp_path / "term.csv", "term.csv")
    assert caught.value.hint == "did you mean `terms.csv`?"


def test_the_form_of_the_file_is_no_part_of_what_counts(read):
    plain = read("a.txt", "cat\ndog\n").digest
    assert read("b.txt", "\ufeff# pets\r\ncat\r\ndog\r\n").digest == plain
    assert read("c.csv", "term;de\ncat;\ndog;\n").digest == plain
    others = {read("d.txt", "dog\ncat").digest, read("e.csv", "term,synonyms\ncat,kitty\ndog").digest}
    assert len(others | {plain}) == 3

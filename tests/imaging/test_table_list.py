"""Tables with a column of paths: CSV in its dialects, and Parquet."""

import io
import sys

import pytest

from olpipe.errors import UsageError
from olpipe.imaging.table_list import paths_in


def csv_of(text, column="path"):
    return paths_in(io.BytesIO(text if isinstance(text, bytes) else text.encode()), column)


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("id,path\n1,a.jpg\n2,b.jpg\n", ["a.jpg", "b.jpg"]),
        ("path\r\na.jpg\r\n\r\nb.jpg", ["a.jpg", "b.jpg"]),
        ("id;path;note\n1;a, b.jpg;x,y\n", ["a, b.jpg"]),
        ("id\tpath\n1\ta.jpg\n", ["a.jpg"]),
        ('path,text\n"a ""b"".jpg","two\nlines"\nc.jpg,\n', ['a "b".jpg', "c.jpg"]),
        ("\ufeffpath,id\n图.jpg,1\n", ["图.jpg"]),
        ("id,path\n1,\n2\n3,a.jpg\n3,a.jpg\n", ["a.jpg", "a.jpg"]),
        ("path,text\na.jpg," + "x" * 200_000, ["a.jpg"]),
        ("path\n", []),
    ],
    ids=["commas", "one column", "semicolons", "tabs", "quotes", "byte order mark", "gaps", "a long cell", "no rows"],
)
def test_the_paths_in_a_column_of_csv(text, paths):
    assert csv_of(text) == paths


@pytest.mark.skipif(sys.platform == "win32", reason="names of files are UTF-16 there")
def test_a_path_that_is_not_utf_8_survives():
    assert csv_of(b"path\ncaf\xe9.jpg\n") == ["caf\udce9.jpg"]


@pytest.mark.parametrize(
    ("text", "column", "hint"),
    [
        ("id,path\n", "pth", "did you mean `path`?"),
        ("id;file\n", "url", "it has `id`, `file`"),
        ("", "path", "its first line is empty"),
    ],
)
def test_a_missing_column_is_told_with_the_nearest_name(text, column, hint):
    with pytest.raises(UsageError, match=f"the table has no column `{column}`") as error:
        csv_of(text, column)
    assert error.value.hint == hint


def test_an_error_names_the_file(tmp_path):
    (tmp_path / "list.csv").write_text("id\n1\n")
    with (tmp_path / "list.csv").open("rb") as table, pytest.raises(UsageError, match=r"`.*list\.csv` has no column"):
        paths_in(table, "path")


class Pipe(io.BytesIO):
    """What cannot go back, like stdin."""

    def seekable(self):
        return False


@pytest.fixture
def parquet(tmp_path):
    """Return a function that writes columns to a Parquet file and returns its bytes."""
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")

    def written(**columns):
        pq.write_table(pa.table(columns), tmp_path / "t.parquet")
        return (tmp_path / "t.parquet").read_bytes()

    return written


@pytest.mark.parametrize("stream", [io.BytesIO, Pipe])
def test_the_paths_in_a_column_of_parquet(parquet, stream):
    data = parquet(id=[1, 2, 3, 4], path=["a.jpg", None, "", "图.jpg"], other=[b"x"] * 4)
    assert paths_in(stream(data), "path") == ["a.jpg", "图.jpg"]


def test_parquet_with_repeated_values_in_a_dictionary(parquet):
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    data = parquet(path=pa.array(["a.jpg", "a.jpg", "b.jpg"]).dictionary_encode())
    assert paths_in(io.BytesIO(data), "path") == ["a.jpg", "a.jpg", "b.jpg"]


def test_columns_of_parquet_that_cannot_be_used_are_told(parquet):
    data = parquet(id=[1], path=["a.jpg"])
    with pytest.raises(UsageError, match="the column `id` of the table holds `int64`, and paths are texts"):
        paths_in(io.BytesIO(data), "id")
    with pytest.raises(UsageError, match="the table has no column `paths`") as error:
        paths_in(io.BytesIO(data), "paths")
    assert error.value.hint == "did you mean `path`?"
    with pytest.raises(UsageError, match="the table cannot be read as Parquet: "):
        paths_in(io.BytesIO(data[:-10]), "path")


def test_without_pyarrow_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match="reading it needs the package `pyarrow`") as error:
        paths_in(io.BytesIO(b"PAR1" + bytes(50)), "path")
    assert error.value.hint.startswith("run `pip install pyarrow`")

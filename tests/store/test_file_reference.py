"""What follows `file:` is a path, or two paths with `#` between them. Paths may have a `#` in them, too."""

import pytest

from olpipe.store.file_reference import FileReference


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("files", "text", "model", "projector"),
    [
        (["a.gguf"], "a.gguf", "a.gguf", None),
        (["a.gguf", "b.gguf"], "a.gguf#b.gguf", "a.gguf", "b.gguf"),
        (["a.gguf#b.gguf", "a.gguf", "b.gguf"], "a.gguf#b.gguf", "a.gguf#b.gguf", None),
        (["c#.gguf", "d#.gguf"], "c#.gguf#d#.gguf", "c#.gguf", "d#.gguf"),
        (["c#.gguf"], "c#.gguf#missing", "c#.gguf", "missing"),
        (["b.gguf"], "missing#b.gguf", "missing", "b.gguf"),
        ([], "no#thing", "no#thing", None),
        ([], "missing.gguf", "missing.gguf", None),
        (["a.gguf"], "a.gguf#", "a.gguf#", None),
        (["a.gguf"], "#a.gguf", "#a.gguf", None),
    ],
)
def test_what_exists_decides_where_a_reference_is_cut(here, files, text, model, projector):
    for name in files:
        (here / name).touch()
    found = FileReference.parse(text)
    assert found.model == here / model
    assert found.projector == (None if projector is None else here / projector)


def test_both_paths_may_begin_with_the_home_folder(here, monkeypatch):
    monkeypatch.setenv("HOME", str(here))
    for name in ("a.gguf", "b.gguf"):
        (here / name).touch()
    assert FileReference.parse("~/a.gguf#~/b.gguf") == FileReference(here / "a.gguf", here / "b.gguf")

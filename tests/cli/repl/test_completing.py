"""What Tab completes."""

import pytest

from olpipe.cli.repl.completing import complete

MODELS = ("echo:latest", "photo-mini:latest")


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "my photos").mkdir()
    for name in ("my photos/a (1).jpg", "my photos/b.PNG", "my photos/c.txt", ".hidden.jpg", "cat.jpg"):
        (tmp_path / name).write_bytes(b"")


@pytest.mark.parametrize(
    ("line", "word", "found"),
    [
        ("/s", "/s", ["/save", "/set", "/show"]),
        ("/", "/", ["/?", "/bye", "/clear", "/exit", "/help", "/list", "/load", "/save", "/set", "/show"]),
        ("/set f", "f", ["format"]),
        ("/set parameter top", "top", ["top_k", "top_p"]),
        ("/set think h", "h", ["high"]),
        ("/set format j", "j", ["json"]),
        ("/show ", "", ["info", "license", "modelfile", "parameters", "system", "template"]),
        ("/load ph", "ph", ["photo-mini:latest"]),
        ("/list ", "", [*MODELS]),
        ("/? s", "s", ["set", "shortcuts", "show"]),
        ("/nothing x", "x", []),
        ("what is in ca", "ca", ["cat.jpg"]),
        ("what is in my", "my", ["my\\ photos/"]),
        ("see my\\ photos/", "", ["a\\ \\(1\\).jpg", "b.PNG"]),
        ("see my\\ ph", "my\\ ph", ["my\\ photos/"]),
        ("see my\\ photos/a\\ \\(", "a\\ \\(", ["a\\ \\(1\\).jpg"]),
        ('see "my photos/', "", ["a (1).jpg", "b.PNG"]),
        ("see 'my photos/b", "b", ["b.PNG"]),
        ("it's ca", "ca", ["cat.jpg"]),
        ("see ~/ca", "ca", ["cat.jpg"]),
        ("see .hi", ".hi", [".hidden.jpg"]),
        ("see /nope/x", "", []),
        ("see ", "", []),
        ("", "", []),
        ("/set format my", "my", ["my\\ photos/"]),
    ],
)
def test_what_is_completed(line, word, found):
    assert complete(line, lambda: MODELS, {".jpg", ".png"}) == (word, found)

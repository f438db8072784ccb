from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from olpipe.store.layer_names import check_layer_name, check_together

SAFE = ["model.gguf", "genai_config.json", "onnx/model.onnx", "a/b/c.data", ".gitattributes", "ä/日本.txt", "a b.json"]

UNSAFE = [
    "", "/", "/etc/passwd", "//host/share", "..", ".", "../x", "a/../x", "a/..", "./x", "a//b", "a/", "C:/x", "C:x",
    "a:stream", "\\x", "a\\..\\x", "..\\x", "x\0y", "x\ny", "x\x7f", "con", "CON.txt", "a/NUL", "a/nul.tar.gz", "lpt1",
    "com¹", "AUX .txt", "x.", "x ", "a /b", "x" * 256, "x/" * 600 + "x", "a*b", "a?b", 'a"b', "a<b", "a|b", "\ud800",
]  # fmt: skip


@pytest.mark.parametrize("name", SAFE)
def test_plain_relative_paths_are_layer_names(name):
    assert check_layer_name(name) == name


@pytest.mark.parametrize("name", UNSAFE)
def test_names_that_could_leave_the_folder_are_refused(name):
    with pytest.raises(ValueError, match="cannot be a file's path in a model"):
        check_layer_name(name)


@given(st.text(alphabet='ab./\\:C\0 *"', max_size=12) | st.text(max_size=40))
def test_every_text_is_refused_or_stays_inside_on_every_system(name):
    try:
        check_layer_name(name)
    except ValueError:
        return
    for flavour in (PurePosixPath, PureWindowsPath):
        path = flavour(name)
        assert not path.is_absolute()
        assert path.anchor == ""
        assert not {"..", ".", ""} & set(path.parts)
        assert str(path.as_posix()) == name


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["a", "a"], "two files are called `a`"),
        (["Model.onnx", "model.ONNX"], "two files are called `model.ONNX`"),
        (["a/b", "a"], "`a` is a file and a folder"),
        (["A", "a/b/c"], "`a` is a file and a folder"),
    ],
)
def test_layers_that_would_overwrite_each_other_are_refused(names, reason):
    with pytest.raises(ValueError, match=reason):
        check_together(names)


def test_layers_may_share_a_folder():
    check_together(["a/b", "a/c", "d"])

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from olpipe.cli.prompt_images import HINT, take_images
from olpipe.errors import UsageError

SUFFIXES = (".jpg", ".png")


@pytest.fixture(autouse=True)
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my pics").mkdir()
    (tmp_path / "照片").mkdir()
    for name in (
        "cat.jpg",
        "dog.PNG",
        "my pics/a (1).jpg",
        "notes.txt",
        "照片/猫.jpg",
        "猫.jpg",
        "a.png.jpg",
        "b.jpg.bak",
    ):
        (tmp_path / name).write_bytes(b"")


@pytest.mark.parametrize(
    ("prompt", "text", "paths"),
    [
        ("what is in cat.jpg?", "what is in ?", ["cat.jpg"]),
        ("./cat.jpg", "", ["cat.jpg"]),
        ("what is in ./cat.jpg?", "what is in ?", ["cat.jpg"]),
        ("both (./cat.jpg, dog.PNG)", "both (, )", ["cat.jpg", "dog.PNG"]),
        ("compare cat.jpg with dog.PNG.", "compare with .", ["cat.jpg", "dog.PNG"]),
        ("see 'my pics/a (1).jpg' there", "see there", ["my pics/a (1).jpg"]),
        ('see "my pics/a (1).jpg"', "see", ["my pics/a (1).jpg"]),
        (r"see my\ pics/a\ \(1\).jpg", "see", ["my pics/a (1).jpg"]),
        ("read notes.txt", "read notes.txt", []),
        ("it's a cat's life", "it's a cat's life", []),
        ("", "", []),
        ("what is in my pics/a (1).jpg now", "what is in now", ["my pics/a (1).jpg"]),
        ("what is a .jpg file, or *.jpg?", "what is a .jpg file, or *.jpg?", []),
        ("many cat.jpgs", "many cat.jpgs", []),
        ("a.png.jpg and b.jpg.bak.", "and .", ["a.png.jpg", "b.jpg.bak"]),
        ("image=cat.jpg", "image=", ["cat.jpg"]),
        ("![a cat](cat.jpg)", "![a cat]()", ["cat.jpg"]),
        ("see https://example.org/page", "see https://example.org/page", []),
        ("看看照片里有什么？", "看看照片里有什么？", []),
        ("看看cat.jpg里有什么？", "看看里有什么？", ["cat.jpg"]),
        ("看看：照片/猫.jpg，有什么？", "看看：，有什么？", ["照片/猫.jpg"]),
        ("看看《猫.jpg》吧", "看看吧", ["猫.jpg"]),
        ("“猫.jpg”、cat.jpg。", "、。", ["猫.jpg", "cat.jpg"]),
        ("что на cat.jpg？", "что на ？", ["cat.jpg"]),
        ("first\n  cat.jpg  here\ndog.PNG\n  last", "first\n   here\n\n  last", ["cat.jpg", "dog.PNG"]),
    ],
)
def test_paths_of_images_are_taken_out_of_a_prompt(prompt, text, paths):
    found, images = take_images(prompt, SUFFIXES)
    assert found == text
    assert [path.as_posix() for path in images] == paths


def test_a_backslash_may_belong_to_a_path(tmp_path):
    (tmp_path / "a\\(b.jpg").write_bytes(b"")
    assert take_images(r"see a\(b.jpg there", SUFFIXES) == ("see there", [Path(r"a\(b.jpg")])


def test_the_address_of_a_file_is_its_path(tmp_path):
    (tmp_path / "a b.jpg").write_bytes(b"")
    assert take_images(f"see file://{tmp_path}/a%20b.jpg.", SUFFIXES) == ("see", [tmp_path / "a b.jpg"])


@pytest.mark.parametrize(
    ("prompt", "missing", "hint"),
    [
        ("What is in /nope/three-elephants.jpg?", "/nope/three-elephants.jpg", HINT),
        ("./x.jpg", "./x.jpg", HINT),
        ("no such bird.png  here", "bird.png", HINT),
        ("what about caat.jpg?", "caat.jpg", "did you mean `cat.jpg`?"),
        ("cat.jpg-like", "cat.jpg-like", "did you mean `cat.jpg`?"),
        ("cat.jpg.old", "cat.jpg.old", "did you mean `cat.jpg`?"),
        ("bigcat.jpg", "bigcat.jpg", "did you mean `cat.jpg`?"),
        ("my pics/none.jpg", "pics/none.jpg", HINT),
        ("see 'my pics/none.jpg'", "my pics/none.jpg", HINT),
        ("image=none.png", "none.png", HINT),
        ("![](none.png)", "none.png", HINT),
        ("看看《照片/狗狗狗狗.jpg》", "照片/狗狗狗狗.jpg", HINT),
        ("看看：/没有/东西.jpg，好吗", "/没有/东西.jpg", HINT),
        ("cat.jpg and none.png", "none.png", HINT),
        ("file:///nope/x.jpg", "/nope/x.jpg", HINT),
        (f"{'x' * 5000}.jpg", f"{'x' * 5000}.jpg", HINT),
        ("see a\0b.jpg", "b.jpg", HINT),
        ("~nobody-is-called-so/x.jpg", "~nobody-is-called-so/x.jpg", HINT),
    ],
)
def test_a_photo_that_is_not_there_is_an_error_that_names_it(prompt, missing, hint):
    with pytest.raises(UsageError) as caught:
        take_images(prompt, SUFFIXES)
    assert (caught.value.message, caught.value.hint) == (f"there is no photo `{missing}`", hint)


@pytest.mark.parametrize("address", ["https://example.org/red-bus.jpg", "http://x/a.png?size=2", "ftp://x/a.JPG"])
def test_an_address_on_the_net_is_an_error_that_says_what_to_do(address):
    with pytest.raises(UsageError) as caught:
        take_images(f"What is in {address} ?", SUFFIXES)
    assert caught.value.message == f"`{address}` is an address, and photos are read from files"
    assert caught.value.hint == "download it first"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.sampled_from(" .jpgcat/\\\"'看（，~*?:=x1"), max_size=40))
def test_any_text_is_read_or_refused_in_one_line(prompt):
    try:
        text, paths = take_images(prompt, SUFFIXES)
    except UsageError as error:
        assert error.message.startswith(("there is no photo `", "`"))
    else:
        assert all(path.is_file() for path in paths)
        assert paths or text == prompt

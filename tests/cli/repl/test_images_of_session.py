"""Images that are named in a session."""

import stat

import pytest

from olpipe.testing.images import photo

pytestmark = pytest.mark.filterwarnings("ignore:.*forkpty.*:DeprecationWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("my photos")
    for name in ("cat.jpg", "two cats.JPG"):
        (folder / name).write_bytes(photo())
    (folder / "text.png").write_text("this is no image")
    return folder


def test_a_path_may_be_quoted_escaped_or_plain(talk, folder):
    path = folder / "two cats.JPG"
    escaped = str(path).replace(" ", "\\ ")
    for given in (f"'{path}'", f'"{path}"', escaped, str(path)):
        assert talk.enter(f"what is in {given} ?") == f"Added image '{path}'\n[image 48x32] what is in ?\n\n"


def test_a_line_may_begin_with_a_path(talk, folder):
    path = folder / "cat.jpg"
    assert talk.enter(f"{path} what is this?") == f"Added image '{path}'\n[image 48x32] what is this?\n\n"
    path = folder / "two cats.JPG"
    assert talk.enter(f"{path} what is this?") == f"Added image '{path}'\n[image 48x32] what is this?\n\n"


def test_several_images_keep_the_lines_of_a_message(talk, folder):
    path = folder / "cat.jpg"
    talk.enter(f'"""first {path}')
    said = talk.enter(f'then {path} and more"""')
    assert said == f"Added image '{path}'\n" * 2 + "[image 48x32] [image 48x32] first\nthen and more\n\n"


def test_an_image_that_is_not_there_is_an_error_and_nothing_is_asked(talk):
    assert talk.enter("what is in /nope/dog.png?").startswith("error: there is no photo `/nope/dog.png`\nhint: ")
    assert talk.enter("/nope/dog.png what is it?").startswith("error: there is no photo `/nope/dog.png`\n")


def test_a_text_that_is_called_like_an_image_is_an_error(talk, folder):
    said = talk.enter(f"what is in {folder}/text.png?")
    assert said.startswith("error: ")
    assert "text.png" in said
    assert talk.enter("hello you") == "hello you\n\n"


def test_a_model_of_texts_is_shown_no_image_and_may_be_told_of_files(start, folder):
    with start("blind") as typist:
        said = typist.enter(f"what is in {folder}/cat.jpg?")
        assert said.startswith("error: model `blind` cannot see images\n")
        assert typist.enter("how do I open dog.jpg?") == "how do I open dog.jpg?\n\n"


def test_an_image_comes_from_the_clipboard(start, folder, tmp_path):
    """`wl-paste` is what a desktop with Wayland has; here it is a program that writes a photo."""
    paste = tmp_path / "wl-paste"
    paste.write_text(f"#!/bin/sh\ncat '{folder}/cat.jpg'\n")
    paste.chmod(paste.stat().st_mode | stat.S_IXUSR)
    with start("echo", PATH=f"{tmp_path}:/usr/bin:/bin", WAYLAND_DISPLAY="wayland-0") as typist:
        typist.type("see \x16")
        typist.see(".png")
        said = typist.enter("there")
        assert said.startswith("Added image '")
        assert said.endswith("[image 48x32] see there\n\n")


def test_a_clipboard_that_cannot_be_read_is_told(start, tmp_path):
    with start("echo", PATH=str(tmp_path)) as typist:
        typist.type("hello \x16")
        typist.see("hint: install `wl-paste` or `xclip`")
        typist.see_last(">>> hello")
        assert typist.enter("you") == "hello you\n\n"


def test_photo_mini_talks_about_a_photo_and_then_about_another(photo_mini_home, start, samples):
    with start("photo-mini", home=photo_mini_home) as typist:
        first = typist.enter(f"What is in {samples / 'cat.jpg'}?")
        assert "cat" in first.partition("\n")[2].lower()
        second = typist.enter(f"And in {samples / 'coffee.jpg'}?")
        assert second.startswith(f"Added image '{samples / 'coffee.jpg'}'\n")
        assert "error" not in second


@pytest.fixture(scope="session")
def samples(request):
    return request.config.rootpath / "samples/photos"

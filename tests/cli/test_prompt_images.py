import pytest

from olpipe.cli.prompt_images import take_images

SUFFIXES = (".jpg", ".png")


@pytest.fixture(autouse=True)
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my pics").mkdir()
    for name in ("cat.jpg", "dog.PNG", "my pics/a (1).jpg", "notes.txt"):
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
        ("no such bird.jpg  here", "no such bird.jpg  here", []),
        ("read notes.txt", "read notes.txt", []),
        ("it's a cat's life", "it's a cat's life", []),
        ("", "", []),
    ],
)
def test_paths_of_images_are_taken_out_of_a_prompt(prompt, text, paths):
    found, images = take_images(prompt, SUFFIXES)
    assert found == text
    assert [path.as_posix() for path in images] == paths

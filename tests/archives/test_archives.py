"""Archives: what is in them, what is read, and what those can do who make one to harm."""

import bz2
import gzip
import io
import lzma
import random
import stat
import struct
import tarfile
import tracemalloc
import zipfile

import pytest

from olpipe.archives import MOST_BYTES, SUFFIXES, is_archive
from olpipe.archives.names import inside
from olpipe.archives.opened import archive_of, close_archives, has_order, listing, read, read_photo, refuse_damage
from olpipe.errors import ImageTooLarge, ImageUnreadable, ImageUnsupported

COMPRESSED = ("tar.gz", "tgz", "tar.bz2", "tbz", "tbz2", "tar.xz", "txz")
SMALL_MEMORY = 20 << 20


@pytest.fixture(autouse=True)
def _close():
    yield
    close_archives()


def header(name, size=0, kind=tarfile.REGTYPE, **values):
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    for key, value in values.items():
        setattr(info, key, value)
    return info


def tar_of(path, files, more=()):
    mode = {"g": "gz", "b": "bz2", "x": "xz"}.get(path.name.rpartition(".t")[2].removeprefix("ar.")[:1], "")
    with tarfile.open(path, f"w:{mode}") as archive:
        for info in more:
            archive.addfile(info)
        for name, data in files:
            archive.addfile(header(name, len(data)), io.BytesIO(data))
    return path


def zip_of(path, files, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return path


def make(path, files):
    return zip_of(path, files) if path.suffix in (".zip", ".cbz") else tar_of(path, files)


def contents(path):
    return {entry.name: read(path, entry.number, entry.name) for entry in listing(path).entries}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_kind_of_archive_gives_its_files_without_unpacking(tmp_path, suffix):
    files = [("z.jpg", b"last"), ("day/a.jpg", b"first" * 5000), ("e.jpg", b"")]
    path = make(tmp_path / f"Trip{suffix.upper()}".replace(suffix.upper(), suffix), files)
    assert is_archive(path.name.upper())
    assert contents(path) == dict(files)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["a.zip.jpg", "zip", "a.gz", "a.rar", "a.jpg"])
def test_other_files_are_no_archives(name):
    assert not is_archive(name)


@pytest.mark.parametrize("suffix", ["zip", "tar", "tar.gz"])
def test_the_last_of_several_files_with_the_same_name_counts(tmp_path, suffix):
    with pytest.warns(UserWarning, match="Duplicate name") if suffix == "zip" else pytest.MonkeyPatch.context():
        path = make(
            tmp_path / f"a.{suffix}", [("a.jpg", b"old"), ("b.jpg", b"b"), ("./a.jpg", b"x"), ("a.jpg", b"new")]
        )
    assert contents(path) == {"b.jpg": b"b", "a.jpg": b"new"}


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("../../etc/a.jpg", "etc/a.jpg"),
        ("/abs/a.jpg", "abs/a.jpg"),
        ("//server/a.jpg", "server/a.jpg"),
        ("C:\\photos\\a.jpg", "photos/a.jpg"),
        ("day\\..\\..\\a.jpg", "day/a.jpg"),
        ("./day//a.jpg", "day/a.jpg"),
        ("a\0b.jpg", "a\N{REPLACEMENT CHARACTER}b.jpg"),
        ("..", ""),
        ("/", ""),
    ],
)
def test_names_never_lead_out_of_the_archive(name, path):
    assert inside(name) == path


def test_names_that_no_file_system_takes_are_shortened_and_stay_different():
    names = ["x" * 300 + "1.jpg", "x" * 300 + "2.jpg", "\N{SNOWMAN}" * 300 + ".jpg"]
    short = [inside(name) for name in names]
    assert len(set(short)) == 3
    assert all(len(name.encode()) <= 255 and name.endswith(".jpg") for name in short)
    deep = inside("folder/" * 2000 + "a.jpg")
    assert len(deep) < 1000
    assert deep.endswith("/a.jpg")


def test_the_files_of_a_compressed_tar_may_be_asked_for_in_any_order(tmp_path):
    files = [(f"{number}.jpg", bytes([number]) * 100_000) for number in range(20)]
    path = tar_of(tmp_path / "a.tgz", files)
    assert has_order(path)
    places = {entry.name: entry.number for entry in listing(path).entries}
    for number in (3, 1, 2, 19, 0, 7, 6, 18):
        assert read(path, places[f"{number}.jpg"], f"{number}.jpg") == bytes([number]) * 100_000
    assert read(path, 4, "4.jpg", most=10) == bytes([4]) * 10


def test_a_compressed_tar_is_decompressed_once_for_all_its_photos(tmp_path, monkeypatch):
    files = [(f"{number}.jpg", bytes([number]) * 100_000) for number in range(30)]
    path = tar_of(tmp_path / "a.tgz", files)
    found = listing(path).entries
    opened = []
    whole = gzip.GzipFile
    monkeypatch.setattr(gzip, "GzipFile", lambda *given, **named: opened.append(1) or whole(*given, **named))
    for entry in found:
        read(path, entry.number, entry.name)
    for entry in found[::-1]:
        read(path, entry.number, entry.name)  # a sink that copies photos later, in another order
    assert opened == []


def test_links_devices_and_folders_are_passed_by(tmp_path):
    more = [
        header("link.jpg", kind=tarfile.SYMTYPE, linkname="/etc/passwd"),
        header("hard.jpg", kind=tarfile.LNKTYPE, linkname="real.jpg"),
        header("device.jpg", kind=tarfile.CHRTYPE),
        header("pipe.jpg", kind=tarfile.FIFOTYPE),
        header("folder.jpg", kind=tarfile.DIRTYPE),
    ]
    path = tar_of(tmp_path / "a.tar", [("real.jpg", b"x")], more)
    assert (contents(path), listing(path).links) == ({"real.jpg": b"x"}, 2)
    link = zipfile.ZipInfo("link.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = zip_of(tmp_path / "a.zip", [(link, "/etc/passwd"), ("folder.jpg/", ""), ("real.jpg", b"x")])
    assert (contents(path), listing(path).links) == ({"real.jpg": b"x"}, 1)


def rewritten(path, name, **values):
    """Change what the directory of a zip archive says of a file: its flags, its method, its size."""
    fields = {"flags": (8, "<H"), "method": (10, "<H"), "size": (24, "<I")}
    data = bytearray(path.read_bytes())
    at = data.rindex(name.encode()) - 46
    assert data[at : at + 4] == b"PK\1\2"
    for key, value in values.items():
        offset, form = fields[key]
        struct.pack_into(form, data, at + offset, value)
    path.write_bytes(data)
    return path


def test_an_encrypted_file_says_so(tmp_path):
    path = rewritten(zip_of(tmp_path / "a.zip", [("a.jpg", b"x" * 99), ("b.jpg", b"y")]), "a.jpg", flags=1)
    with pytest.raises(ImageUnreadable, match="encrypted in its archive") as error:
        read(path, 0, "a.jpg")
    assert "password" in error.value.hint
    assert read(path, 1, "b.jpg") == b"y"


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, 97])
def test_a_compression_that_is_not_read_says_so(tmp_path, method):
    path = rewritten(zip_of(tmp_path / "a.zip", [("a.jpg", b"x" * 99)]), "a.jpg", method=method)
    with pytest.raises(ImageUnsupported, match=f"method {method}"):
        read(path, 0, "a.jpg")


def test_a_file_that_claims_too_much_is_refused_before_it_is_read(tmp_path):
    path = rewritten(zip_of(tmp_path / "a.zip", [("a.jpg", b"x" * 99)]), "a.jpg", size=MOST_BYTES + 1)
    with pytest.raises(ImageTooLarge, match="at most 500 MB are read"):
        read(path, 0, "a.jpg")
    for suffix, pack in (("tar", bytes), ("tar.gz", gzip.compress)):
        path = tmp_path / f"a.{suffix}"
        path.write_bytes(pack(header("a.jpg", 9 << 40).tobuf(tarfile.GNU_FORMAT)))
        with pytest.raises(ImageTooLarge, match="claims to have 9\\.9 TB"):
            read(path, 0, "a.jpg")


def test_a_file_that_yields_more_than_it_claims_is_damaged(tmp_path):
    packed = zip_of(tmp_path / "a.zip", [("a.jpg", bytes(12 << 20))], compression=zipfile.ZIP_DEFLATED)
    path = rewritten(packed, "a.jpg", size=1000)
    tracemalloc.start()
    try:
        with pytest.raises(ImageUnreadable, match="damaged: Bad CRC-32"):
            read(path, 0, "a.jpg")
        assert tracemalloc.get_traced_memory()[1] < SMALL_MEMORY / 2
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_that_is_made_to_fill_the_memory_is_damage(tmp_path, kind):
    path = tmp_path / "a.tar.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(header("good.jpg", 3).tobuf() + b"abc".ljust(512, b"\0"))
        file.write(header("x", 50 << 20, kind).tobuf())
        for _ in range(50):
            file.write(bytes(1 << 20))
    tracemalloc.start()
    try:
        found = listing(path)
        assert tracemalloc.get_traced_memory()[1] < SMALL_MEMORY
    finally:
        tracemalloc.stop()
    assert [entry.name for entry in found.entries] == ["good.jpg"]
    assert found.damage == "the archive is damaged: a header claims to be very large"


def test_a_compressed_archive_that_grows_without_end_is_not_read_on(tmp_path):
    path = tmp_path / "a.tar.bz2"
    path.write_bytes(
        bz2.compress(header("zeros.bin", 9 << 40).tobuf(tarfile.GNU_FORMAT)) + bz2.compress(bytes(16 << 20)) * 9
    )
    assert path.stat().st_size < 10_000
    assert "becomes more than 250 times larger" in listing(path).damage


def test_a_header_that_leads_back_ends_the_listing(tmp_path):
    bad = bytearray(header("b.jpg", 0).tobuf())
    bad[124:136] = b"\xff" * 8 + struct.pack(">i", -1024)  # a size below zero, as base 256 writes it
    bad[148:156] = b" " * 8
    bad[148:156] = b"%06o\0 " % sum(bad)
    path = tmp_path / "a.tar"
    path.write_bytes(header("a.jpg", 3).tobuf() + b"abc".ljust(512, b"\0") + bytes(bad) + bytes(1024))
    found = listing(path)
    assert [entry.name for entry in found.entries] == ["a.jpg"]
    assert found.damage.startswith("the archive is damaged: ")


@pytest.mark.parametrize("suffix", ["tar", *COMPRESSED])
def test_what_comes_before_the_damage_is_found_and_the_damage_is_told(tmp_path, suffix):
    noise = random.Random(1).randbytes(100_000)
    path = tar_of(tmp_path / f"a.{suffix}", [("a.jpg", b"a"), ("b.jpg", noise), ("c.jpg", noise[::-1])])
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    if not suffix.endswith(("bz", "bz2")):  # its blocks hold 900 kB, so the first one is cut already
        assert listing(path).entries[0].name == "a.jpg"
        assert listing(path).damage.startswith("the archive is damaged: ")
    with pytest.raises(ImageUnreadable, match="the archive is damaged"):
        refuse_damage(path)


def test_a_damaged_header_amid_a_tar_is_not_taken_for_its_end(tmp_path):
    path = tar_of(tmp_path / "a.tar", [("a.jpg", b"a"), ("b.jpg", b"b"), ("c.jpg", b"c")])
    data = bytearray(path.read_bytes())
    data[1024:1536] = b"?" * 512
    path.write_bytes(data)
    assert [entry.name for entry in listing(path).entries] == ["a.jpg"]
    assert listing(path).damage == "the archive is damaged: it ends in what is no header"


@pytest.mark.parametrize("suffix", ["zip", "tar", "tar.gz"])
@pytest.mark.parametrize(
    "data", [b"", b"Dear diary", b"PK\3\4" + bytes(40), gzip.compress(b"no tar", mtime=0), lzma.compress(b"")]
)
def test_what_is_no_archive_is_damaged(tmp_path, suffix, data):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(data)
    with pytest.raises(ImageUnreadable, match="the archive is damaged: "):
        refuse_damage(path)


def test_names_that_are_not_utf_8(tmp_path):
    path = tmp_path / "a.tar"
    info = header("caf\udce9.jpg", 1)
    path.write_bytes(info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape") + b"x".ljust(512, b"\0") + bytes(1024))
    assert contents(path) == {"caf\udce9.jpg": b"x"}
    for stored, name in (("caf\N{LATIN SMALL LETTER E WITH ACUTE}".encode(), "café"), (b"caf\x82", "café")):
        packed = zip_of(
            tmp_path / "a.zip", [("#" * len(stored), b"x")]
        )  # as UTF-8 without saying so, and as DOS wrote it
        packed.write_bytes(packed.read_bytes().replace(b"#" * len(stored), stored))
        assert contents(packed) == {name: b"x"}
        close_archives()


@pytest.mark.parametrize("suffix", ["zip", "tar", "tar.gz"])
def test_an_archive_that_was_changed_in_the_meantime_is_told(tmp_path, suffix):
    path = make(tmp_path / f"a.{suffix}", [("a.jpg", b"a"), ("b.jpg", b"b")])
    assert read(path, 1, "b.jpg") == b"b"
    make(path, [("b.jpg", b"b" * 1000)])
    with pytest.raises(ImageUnreadable, match="changed in the meantime"):
        read(path, 1, "b.jpg")
    assert read(path, 0, "b.jpg") == b"b" * 1000


def test_a_path_leads_into_an_archive_only_where_one_is(tmp_path):
    path = zip_of(tmp_path / "a.zip", [("day/a.jpg", b"a")])
    (tmp_path / "folder.zip").mkdir()
    (tmp_path / "folder.zip" / "b.jpg").write_bytes(b"b")
    assert archive_of(path / "day" / "a.jpg") == path
    assert archive_of(path) is None
    assert archive_of(tmp_path / "folder.zip" / "b.jpg") is None
    assert (read_photo(path / "day" / "a.jpg"), read_photo(tmp_path / "folder.zip" / "b.jpg")) == (b"a", b"b")
    with pytest.raises(FileNotFoundError):
        read_photo(path / "day" / "c.jpg")

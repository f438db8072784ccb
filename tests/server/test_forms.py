"""Forms with files: read as they were sent, and refused where they are none, whatever their bytes are."""

import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from olpipe.server.bodies.forms import MOST_PARTS, parts_of
from olpipe.server.refusal import Refusal
from tests.server.form_bodies import form

KIND = "multipart/form-data; boundary=b"
HEAD = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'


@given(st.binary(max_size=300), st.text("abc é", max_size=9))
@example(b"\r\n--", "")
def test_a_form_is_read_as_it_was_sent(data, text):
    body, kind = form({"recipe": text, "model": "m"}, "a b.jpg", data)
    found = [(part.name, part.file, bytes(part.data)) for part in parts_of(kind, body)]
    assert found == [("recipe", None, text.encode()), ("model", None, b"m"), ("image", "a b.jpg", data)]


@given(st.binary(max_size=400))
@example(b"--b--\r\n")
@example(b"--b\r\n\r\nx\r\n--b--\r\n")
@example(HEAD + b"x\r\n--b\r\n")
def test_any_other_bytes_are_a_form_or_refused(data):
    for body in (data, b"--b" + data, HEAD + data, HEAD + data + b"\r\n--b--\r\n"):
        with contextlib.suppress(Refusal):
            assert all(part.name for part in parts_of(KIND, body))


@given(st.binary(max_size=40).map(lambda data: data.decode("latin-1")))
@example("multipart/form-data; boundary=" + "b" * 300)
def test_any_content_type_is_taken_or_refused(kind):
    with contextlib.suppress(Refusal):
        parts_of(kind, b"--b--\r\n")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "the form cannot be read"),
        (b"x" * 50, "the form cannot be read"),
        (HEAD + b"x", "its end is missing"),
        (b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n", "a field has no name"),
        (form({f"field{at}": "" for at in range(MOST_PARTS + 1)})[0], f"more than {MOST_PARTS} fields"),
        (b"--b\r\nA: " + b"x" * 10_000 + b"\r\n\r\nx\r\n--b--\r\n", "the form cannot be read"),
    ],
)
def test_the_reason_says_what_is_wrong(body, reason):
    kind = KIND if body[:3] == b"--b" or len(body) < 60 else "multipart/form-data; boundary=" + body[2:34].decode()
    with pytest.raises(Refusal) as caught:
        parts_of(kind, body)
    assert caught.value.status == 400
    assert reason in caught.value.message

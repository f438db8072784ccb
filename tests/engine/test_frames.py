"""Frames through real pipes."""

import io
import os
import struct
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from olpipe.engine import frames
from olpipe.engine.frames import Frame, FrameError


@given(st.lists(st.builds(Frame, st.binary(), st.lists(st.binary(), max_size=4).map(tuple)), max_size=5))
def test_frames_come_out_as_they_went_in(sent):
    pipe = io.BytesIO()
    for frame in sent:
        frames.write(pipe, frame)
    pipe.seek(0)
    assert [frames.read(pipe) for _ in sent] == sent
    assert frames.read(pipe) is None


def test_a_frame_larger_than_the_pipe_passes_through_it():
    reading, writing = os.pipe()
    frame = Frame(b"{}", (bytes(3_000_000), b"end"))
    with open(reading, "rb") as source, open(writing, "wb") as target:
        writer = threading.Thread(target=frames.write, args=(target, frame))
        writer.start()
        assert frames.read(source) == frame
        writer.join()


@given(st.binary(min_size=1), st.lists(st.binary(), max_size=2).map(tuple), st.data())
def test_a_frame_cut_anywhere_is_an_error_and_never_a_shorter_frame(header, attachments, data):
    pipe = io.BytesIO()
    frames.write(pipe, Frame(header, attachments))
    whole = pipe.getvalue()
    cut = data.draw(st.integers(1, len(whole) - 1))
    with pytest.raises(FrameError, match="the pipe was closed in the middle of a frame"):
        frames.read(io.BytesIO(whole[:cut]))


def test_text_that_is_no_frame_is_an_error_that_shows_it():
    with pytest.raises(FrameError, match="expected a frame, got b'Loading mode'"):
        frames.read(io.BytesIO(b"Loading model..."))


@pytest.mark.parametrize(
    ("prefix", "message"),
    [
        (struct.pack("<4sII", frames.MAGIC, 2**32 - 1, 0), "text takes at most 33554432 bytes, not 4294967295"),
        (struct.pack("<4sII", frames.MAGIC, 0, 1025), "at most 1024 attachments, not 1025"),
        (struct.pack("<4sIIQ", frames.MAGIC, 0, 1, 2**63), "images take at most 536870912 bytes, not 9223372036854"),
    ],
)
def test_a_frame_out_of_bounds_is_refused_before_it_is_read(prefix, message):
    with pytest.raises(FrameError, match=message):
        frames.read(io.BytesIO(prefix))


def test_a_frame_out_of_bounds_is_never_written():
    pipe = io.BytesIO()
    with pytest.raises(FrameError, match="at most 1024 attachments, not 1025"):
        frames.write(pipe, Frame(b"", (b"",) * 1025))
    assert pipe.getvalue() == b""

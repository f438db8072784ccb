"""Errors as failures of photos: each has its kind, and what is not the photo's fault is none."""

from pathlib import Path

import pytest

from olpipe.describing.failures import failure_of
from olpipe.errors import (
    BackendCrashed,
    ContextExceeded,
    GenerationError,
    ImageTooLarge,
    ImageUnreadable,
    ImageUnsupported,
    InvalidOutput,
    ModelNotFound,
    PluginError,
    UsageError,
)
from olpipe.image import ImageFile, ImageRef

IMAGE = ImageFile(ImageRef(Path("/photos/cat.jpg"), "cat.jpg", 3, 0), "ab" * 32, b"cat")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ImageTooLarge("too large", hint="crop it"), "too_large"),
        (ImageUnsupported("no loader"), "unsupported"),
        (ImageUnreadable("damaged"), "unreadable"),
        (ContextExceeded("too long"), "context"),
        (InvalidOutput("not the schema"), "refused"),
        (GenerationError("the runner failed"), "generation"),
        (PluginError("a perceiver failed"), "plugin"),
    ],
)
def test_an_error_about_the_photo_has_its_kind_its_message_and_its_hint(error, kind):
    told = {"file": "cat.jpg", "sha256": "ab" * 32, "kind": kind, "message": error.message}
    assert failure_of(IMAGE, error).to_json() == told | ({"hint": error.hint} if error.hint else {})


@pytest.mark.parametrize("error", [BackendCrashed("gone"), ModelNotFound("none"), UsageError("wrong")])
def test_an_error_of_the_machine_or_of_the_request_is_no_failure_of_the_photo(error):
    assert failure_of(IMAGE, error) is None


def test_an_error_that_nobody_expected_names_its_class():
    failure = failure_of(IMAGE, KeyError("x"))
    assert (failure.kind, failure.message) == ("generation", "KeyError: 'x'")


def test_a_file_that_is_gone_has_no_digest():
    failure = failure_of(IMAGE, FileNotFoundError(2, "No such file or directory"))
    assert (failure.kind, failure.sha256) == ("unreadable", None)
    assert failure.message == "the file cannot be read: No such file or directory"

"""Somebody who types, and sessions that are shared."""

from functools import partial

import pytest

from tests.cli.answering import TEXTS, put_echo
from tests.cli.repl.typist import Typist

__all__ = ["TEXTS", "put_echo"]


@pytest.fixture(scope="session")
def start(echo_home, echo_site, request):
    """Return a function that starts a session with a model, in the home of the echo models unless told otherwise.

    With `way="there"`, a server answers, which all tests share. Its home is that of the echo models.
    """

    def start(*arguments, home=echo_home, ready=True, way="here", **given):
        if way == "there":
            server = request.getfixturevalue("echo_server")
            given = {"OLPIPE_SERVER": "on", "OLLAMA_HOST": server.url, **given}
        typist = Typist(*arguments, **{"OLPIPE_HOME": str(home), "PYTHONPATH": str(echo_site), **given})
        if ready:
            typist.wait()
        return typist

    return start


@pytest.fixture(scope="module")
def talk(start):
    """Return a session with `echo` that the tests of a module share."""
    with start("echo") as typist:
        yield typist


@pytest.fixture(scope="session")
def start_there(start):
    """Return a function that starts a session for which a server answers. It starts faster, and is otherwise the same.

    Tests of what a session does with keys and terminals use it.
    """
    return partial(start, way="there")

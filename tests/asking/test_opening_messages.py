"""Messages that a model brings along: they open every conversation with it."""

from pathlib import Path

import pytest

from olpipe.asking.asker import Asker
from olpipe.asking.wishes import Wishes
from olpipe.messages import Message
from olpipe.model import ModelBundle, ModelName
from olpipe.plugins import Plugins
from olpipe.settings import Settings

OWN = (Message.of("system", "Own."), Message.of("user", "two?"), Message.of("assistant", "2"))
ASKED = Message.of("user", "three?")
SYSTEM = Message.of("system", "Other.")


@pytest.fixture
def asked():
    """Return a function that returns the messages of a request."""
    bundle = ModelBundle(ModelName.parse("it"), "sha256:0", Path("view"), Path("cache"), messages=OWN)
    plugins = Plugins.load(Settings(plugins_allow=()))
    return lambda messages, **wishes: Asker(bundle, Wishes(**wishes), plugins).request("it", messages).messages


def test_they_come_first(asked):
    assert asked([ASKED]) == (*OWN, ASKED)


def test_the_system_message_of_the_conversation_takes_the_place_of_theirs(asked):
    assert asked([SYSTEM, ASKED]) == (SYSTEM, *OWN[1:], ASKED)


def test_a_later_system_message_stays_where_it_is(asked):
    assert asked([ASKED, SYSTEM]) == (*OWN, ASKED, SYSTEM)


@pytest.mark.parametrize("wishes", [{"raw": True}, {"suffix": "end"}])
def test_a_raw_prompt_and_a_gap_have_none(asked, wishes):
    assert asked([ASKED], **wishes) == (ASKED,)

"""Questions about a photo are answered from what was recognised, or honestly not at all."""

from pathlib import Path

import pytest
from training.questions import UNKNOWN

from olpipe.asking.asker import Asker
from olpipe.asking.wishes import Wishes
from olpipe.engine.manager import Engine
from olpipe.messages import Message
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.library import Library

PHOTOS = Path(__file__).parents[3] / "samples" / "photos"


@pytest.fixture(scope="module")
def ask(photo_mini_home):
    settings = Settings(home=photo_mini_home)
    plugins = Plugins.load(settings)
    library = Library(settings.models_folder, cache=settings.home / "cache")
    with Engine(library, plugins, settings) as engine:
        asker = Asker(engine.bundle("photo-mini"), Wishes(), plugins)

        def answer(photo, question):
            message = Message.of("user", question, asker.image(PHOTOS / photo))
            return engine.submit(asker.request("photo-mini", [message])).completion().text

        yield answer


@pytest.mark.parametrize(
    ("photo", "question", "said"),
    [
        ("cat.jpg", "what animals are in ?", "cat"),
        ("cat.jpg", "is there a cat in ?", "Yes"),
        ("coffee.jpg", "which animals are there?", "No animals were recognised."),
        ("coffee.jpg", "how many dogs are there?", "No dogs were recognised."),
        ("coffee.jpg", "what is in ?", "cup"),
        ("astronaut.jpg", "what is the person's name?", UNKNOWN),
        ("cat.jpg", "when was this taken?", UNKNOWN),
        ("photographer.jpg", "what colour is it?", UNKNOWN),
    ],
)
def test_a_question_is_answered_from_the_evidence(ask, photo, question, said):
    assert said in ask(photo, question)

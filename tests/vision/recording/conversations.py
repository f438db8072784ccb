"""What is asked about which images, and what is recorded of it."""

from __future__ import annotations

from dataclasses import dataclass, field

QUESTION = "What is in the photo?"


@dataclass(frozen=True)
class Conversation:
    """A conversation about generated images.

    Attributes:
        name: Its name.
        turns: Texts and images of each turn; an image is its width and height. User and assistant take turns.
        settings: What to change in the reference's image processor.
    """

    name: str
    turns: tuple
    settings: dict = field(default_factory=dict)

    @property
    def sizes(self):
        """The sizes of all images, in order."""
        return [part for turn in self.turns for part in turn if not isinstance(part, str)]

    def messages(self, images):
        """Return the conversation as `transformers` takes it."""
        left, messages = iter(images), []
        for number, turn in enumerate(self.turns):
            content = [
                {"type": "text", "text": part} if isinstance(part, str) else {"type": "image", "image": next(left)}
                for part in turn
            ]
            messages.append({"role": ("user", "assistant")[number % 2], "content": content})
        return messages


def conversations(square, wide, tall, other):
    """Return the conversations that every family is asked.

    Args:
        square: The size of a square image, one that need not be resized.
        wide: The size of a wide image that need not be resized.
        tall: The size of a tall image that need not be resized.
        other: A size that must be changed.
    """
    return [
        Conversation("a square image", (((square), QUESTION),)),
        Conversation("a wide image", ((wide, QUESTION),)),
        Conversation("a tall image", ((tall, QUESTION),)),
        Conversation("an image that is resized", ((other, QUESTION),)),
        Conversation("two images", ((wide, " and the other dog: ", square, QUESTION),)),
        Conversation("text around an image", (("the first: ", tall, " a street with er on ing"),)),
        Conversation("a second turn", ((square, QUESTION), ("a dog is on the street",), (wide, " and in this?"))),
        Conversation("text only", (("the dog and the cat in the street",),)),
    ]

"""A good sequence, and sequences with one fault each."""

from typing import ClassVar

import numpy as np
import pytest
from mutants.breaking import Mutants
from mutants.tiny import WIDTH, TinySequence

from olpipe.decoding.prompt import Prompt
from olpipe.testing.contracts import ModelSequenceContract

CONTRACT = ModelSequenceContract
SIZE = 40
PLUGINS = Mutants(TinySequence)


@PLUGINS.broken("test_it_has_the_room_that_was_asked_for")
class HasLessRoom(TinySequence):
    """It holds half of what was asked for."""

    def __init__(self, weights, capacity):
        super().__init__(weights, capacity // 2)


@PLUGINS.broken("test_it_has_the_room_that_was_asked_for")
class OverrunsItsCache(TinySequence):
    """It says that it has room, and raises when it is used."""

    def read(self, rows):
        if len(self.held) + len(rows) > self.capacity - 2:
            raise RuntimeError("the cache is full")
        return super().read(rows)


@PLUGINS.broken("test_logits_have_one_number_for_each_token")
class ReturnsRows(TinySequence):
    """Its logits have a row for the batch."""

    def read(self, rows):
        return super().read(rows)[None]


@PLUGINS.broken("test_logits_have_one_number_for_each_token")
class ReturnsDoubles(TinySequence):
    """Its logits are float64."""

    def read(self, rows):
        return super().read(rows).astype(np.float64)


@PLUGINS.broken("test_logits_have_one_number_for_each_token")
class ReturnsNotANumber(TinySequence):
    """One of its logits is no number."""

    def read(self, rows):
        logits = super().read(rows)
        logits[3] = np.nan
        return logits


@PLUGINS.broken("test_logits_belong_to_the_caller")
class ReusesItsBuffer(TinySequence):
    """Each forward overwrites the logits of the one before."""

    buffer = None

    def read(self, rows):
        logits = super().read(rows)
        self.buffer = logits if self.buffer is None else self.buffer
        self.buffer[:] = logits
        return self.buffer


@PLUGINS.broken("test_logits_may_be_written_to")
class HandsOutItsTable(TinySequence):
    """What the caller writes into the logits reaches the model."""

    tables: ClassVar = {}

    def read(self, rows):
        logits = super().read(rows)
        return self.tables.setdefault((id(self.weights), logits.tobytes()), logits)


@PLUGINS.broken("test_logits_may_be_written_to")
class ReturnsWhatIsReadOnly(TinySequence):
    """Its logits cannot be written to."""

    def read(self, rows):
        logits = super().read(rows)
        logits.flags.writeable = False
        return logits


@PLUGINS.broken("test_every_token_matters")
class ReadsTheLastToken(TinySequence):
    """Of several tokens at once, it reads the last."""

    def read(self, rows):
        return super().read(rows[-1:])


@PLUGINS.broken("test_tokens_may_come_together_or_one_by_one")
class CountsForwards(TinySequence):
    """Where a token stands depends on how many forwards came before."""

    def decode(self, tokens):
        self.held = self.held * np.float32(0.7)
        return super().decode(tokens)


@PLUGINS.broken("test_a_prompt_may_be_cut")
class MarksPrompts(TinySequence):
    """What is prefilled counts otherwise than what is decoded."""

    def prefill(self, prompt, start):
        super().prefill(prompt, start)
        self.held = self.held * np.float32(1.5)
        return self.read(self.held[:0])


@PLUGINS.broken("test_sequences_know_nothing_of_each_other")
class SharesItsCache(TinySequence):
    """All sequences have one cache, which the first prompt clears."""

    shared: ClassVar = {}

    def prefill(self, prompt, start):
        if start == 0:
            self.held = np.zeros((0, WIDTH), np.float32)
        return super().prefill(prompt, start)

    @property
    def held(self):
        return self.shared["held"]

    @held.setter
    def held(self, held):
        self.shared["held"] = held


@PLUGINS.broken("test_a_sequence_that_rewinds_forgets_its_end")
class RewindsTooLittle(TinySequence):
    """It keeps a token more than it is told."""

    def rewind(self, length):
        super().rewind(length + 1)


@PLUGINS.broken("test_a_sequence_that_rewinds_forgets_its_end")
class RewindsNothing(TinySequence):
    """It says that it can rewind, and does not."""

    def rewind(self, length):
        pass


class TestSequence(ModelSequenceContract):
    vocab_size = SIZE

    @pytest.fixture(params=PLUGINS, ids=str)
    def plugin(self, request):
        return request.param

    @pytest.fixture
    def open_sequence(self, plugin):
        random = np.random.default_rng(0)
        shapes = {"tokens": (SIZE, WIDTH), "colours": (3, WIDTH), "output": (SIZE, WIDTH)}
        weights = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
        return lambda length: plugin.make(weights, length)

    @pytest.fixture
    def prompt(self):
        return Prompt((5, 9, 2, 30, 11, 9, 8))

"""Runners with one fault each: several sequences at once, several threads, answers that are stopped."""

import threading
import time
from dataclasses import replace

import pytest
from mutants.tiny import RunnerMutants, TinyRunner, tiny_bundle

from olpipe.generation import Chunk
from olpipe.testing.contracts.side_by_side import SideBySideContract

CONTRACT = SideBySideContract
PLUGINS = RunnerMutants()


@PLUGINS.runner("test_all_slots_are_answered_at_once")
class ClaimsSlots(TinyRunner):
    """It says that it has four slots, and has two."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.real = self.info.slots
        self.info = replace(self.info, slots=4)

    def start(self, sequence_id, prepared):
        if len(self.answers) == self.real:
            raise ValueError("all slots are taken")
        super().start(sequence_id, prepared)


@PLUGINS.runner("test_all_slots_are_answered_at_once", "test_a_sequence_may_join_later")
class MixesUpAnswers(TinyRunner):
    """Of two answers at once, each gets the other's chunks."""

    def step(self):
        said = super().step()
        running = [chunk.finish_reason is None for _, chunk in said]
        if len(said) == 2 and all(running):
            (one, first), (other, second) = said
            return [(one, second), (other, first)]
        return said


@PLUGINS.runner("test_all_slots_are_answered_at_once", "test_a_sequence_may_join_later")
class SharesOneCache(TinyRunner):
    """A second sequence writes into the cache of the first."""

    one = None

    def open(self, length):
        if self.one is None or len(self.answers) < 2:
            self.one = super().open(self.info.context_length)
        return self.one


@PLUGINS.runner("test_no_more_sequences_than_slots_are_taken")
class TakesAnyNumber(TinyRunner):
    """It takes more sequences than it has slots."""

    def start(self, sequence_id, prepared):
        self.answers[sequence_id] = self.generate(prepared)


@PLUGINS.runner("test_an_answer_that_ended_frees_its_slot")
class NeverFreesASlot(TinyRunner):
    """What has ended still takes a slot."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.taken = 0

    def start(self, sequence_id, prepared):
        self.taken += 1
        if self.taken > self.info.slots:
            raise ValueError("all slots are taken")
        super().start(sequence_id, prepared)


@PLUGINS.runner("test_a_stopped_sequence_frees_its_slot")
class GoesOnWhenStopped(TinyRunner):
    """What was stopped is answered to its end."""

    def stop(self, sequence_id):
        if sequence_id in self.answers and self.answers[sequence_id].gi_frame is None:
            super().stop(sequence_id)


@PLUGINS.runner("test_a_stopped_sequence_frees_its_slot")
class LeaksWhatWasStopped(TinyRunner):
    """The answer that was stopped goes on in the next one."""

    rest = ()

    def stop(self, sequence_id):
        if sequence_id in self.answers:
            self.rest = [Chunk("and ")]
        super().stop(sequence_id)

    def generate(self, prepared):
        before, self.rest = self.rest, ()
        yield from before
        yield from super().generate(prepared)


@PLUGINS.runner("test_stopping_one_leaves_the_others_alone")
class StopsAll(TinyRunner):
    """To stop one sequence stops them all."""

    def stop(self, sequence_id):
        if sequence_id in self.answers:
            for other in list(self.answers):
                super().stop(other)


@PLUGINS.runner("test_stopping_one_leaves_the_others_alone")
class SkipsASlot(TinyRunner):
    """Those behind a stopped sequence lose a chunk."""

    def stop(self, sequence_id):
        behind = list(self.answers)[list(self.answers).index(sequence_id) + 1 :] if sequence_id in self.answers else ()
        for other in behind:
            next(self.answers[other], None)
        super().stop(sequence_id)


@PLUGINS.runner("test_stopping_an_unknown_sequence_is_ignored")
class KnowsAllSequences(TinyRunner):
    """A cancel that comes late is an error."""

    def stop(self, sequence_id):
        self.answers.pop(sequence_id).close()


@PLUGINS.runner("test_a_step_without_sequences_says_nothing")
class StepsNowhere(TinyRunner):
    """A step without sequences is an error."""

    def step(self):
        next(iter(self.answers))
        return super().step()


@PLUGINS.runner("test_what_is_prepared_waits")
class KeepsTheLastRequest(TinyRunner):
    """It answers what was prepared last."""

    last = None

    def prepare(self, request):
        self.last = super().prepare(request)
        return self.last

    def start(self, sequence_id, prepared):
        super().start(sequence_id, self.last)


@PLUGINS.runner("test_requests_are_prepared_between_steps")
class ForgetsItsSequences(TinyRunner):
    """To prepare a request clears the cache of those at work."""

    def prepare(self, request):
        for sequence in self.opened:
            sequence.rewind(0)
        return super().prepare(request)

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.opened = []

    def open(self, length):
        self.opened.append(super().open(length))
        return self.opened[-1]


@PLUGINS.runner("test_requests_are_prepared_between_steps")
class BelongsToOneThread(TinyRunner):
    """It can be used by the thread that loaded it."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.thread = threading.get_ident()

    def prepare(self, request):
        if threading.get_ident() != self.thread:
            raise RuntimeError("objects created in a thread can only be used in that same thread")
        return super().prepare(request)


@PLUGINS.runner("test_requests_are_prepared_while_others_are_answered")
class IsBusy(TinyRunner):
    """It cannot prepare anything while it is inside a step."""

    stepping = False

    def prepare(self, request):
        if self.stepping:
            raise RuntimeError("the model is busy")
        return super().prepare(request)

    def step(self):
        self.stepping = True
        time.sleep(0.001)  # others come in
        try:
            return super().step()
        finally:
            self.stepping = False


@PLUGINS.runner("test_requests_are_prepared_while_others_are_answered")
class SharesAScratchPad(TinyRunner):
    """What is prepared and what is answered are put together in the same place."""

    pad = ""

    def prepare(self, request):
        self.pad = "prepared"
        return super().prepare(request)

    def step(self):
        self.pad = "stepped"
        time.sleep(0.001)  # others come in
        said = super().step()
        mark = "" if self.pad == "stepped" else "?"
        return [(sequence_id, replace(chunk, text=chunk.text + mark)) for sequence_id, chunk in said]


@PLUGINS.runner("test_a_sequence_may_join_later")
class BeginsTogether(TinyRunner):
    """A sequence that joins begins where the others are: its first chunks are lost."""

    def start(self, sequence_id, prepared):
        late = bool(self.answers)
        super().start(sequence_id, prepared)
        if late and self.begun:
            next(self.answers[sequence_id])

    begun = False

    def step(self):
        said = super().step()
        self.begun = bool(self.answers)
        return said


class TestSideBySide(SideBySideContract):
    @pytest.fixture(params=PLUGINS, ids=str)
    def plugin(self, request):
        return request.param

    @pytest.fixture
    def backend(self, plugin):
        return plugin.make()

    @pytest.fixture
    def bundle(self, tmp_path):
        return tiny_bundle(tmp_path)

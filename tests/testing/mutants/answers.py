"""Runners with one fault each: one answer at a time, and all that a request may ask of it."""

import time
from dataclasses import replace

import pytest
from mutants.tiny import Changes, Forgets, RunnerMutants, TinyRunner, TinySequence, tiny_bundle

from olpipe.decoding.prompt import Prompt
from olpipe.generation import Chunk, FinishReason, Timings, Usage
from olpipe.messages import Message
from olpipe.testing.contracts.answers import AnswerContract

CONTRACT = AnswerContract


PLUGINS = RunnerMutants()


@PLUGINS.runner("test_only_the_last_chunk_says_how_it_ended")
class CountsInEveryChunk(Changes):
    """Every chunk has a usage."""

    def changed(self, chunk):
        return replace(chunk, usage=chunk.usage or Usage(1, 1))


@PLUGINS.runner("test_only_the_last_chunk_says_how_it_ended")
class CountsNothing(Changes):
    """The last chunk does not say what the answer cost."""

    def changed(self, chunk):
        return replace(chunk, usage=None)


@PLUGINS.runner("test_times_are_told")
class ReusesMoreThanThereIs(Changes):
    """It claims to have reused more tokens than the prompt has."""

    def changed(self, chunk):
        return replace(chunk, timings=chunk.timings and replace(chunk.timings, reused_tokens=9999))


@PLUGINS.runner("test_times_are_told")
class MeasuresBackwards(Changes):
    """Its times are negative."""

    def changed(self, chunk):
        return replace(chunk, timings=chunk.timings and Timings(prompt_ns=-time.monotonic_ns()))


@PLUGINS.runner("test_usage_counts_the_prompt")
class CountsWords(Changes):
    """It says another number of tokens than `prepare` did."""

    def changed(self, chunk):
        return replace(chunk, usage=chunk.usage and replace(chunk.usage, prompt_tokens=5))


@PLUGINS.runner("test_a_budget_ends_an_answer")
class IgnoresTheBudget(Forgets):
    """It goes on until it has said everything."""

    def changed(self, request):
        return replace(request, sampling=replace(request.sampling, max_tokens=60))


@PLUGINS.runner("test_a_budget_ends_an_answer")
class SaysThatItStopped(Changes):
    """An answer that was cut looks as if it were whole."""

    def changed(self, chunk):
        return replace(chunk, finish_reason=chunk.finish_reason and FinishReason.STOP)


@PLUGINS.runner("test_a_budget_ends_an_answer", "test_logprobs_are_told_of_every_token_or_refused")
class CountsTwice(Changes):
    """Its usage is not that of the answer."""

    def changed(self, chunk):
        usage = chunk.usage
        return replace(chunk, usage=usage and replace(usage, sampled_tokens=2 * usage.sampled_tokens))


class Endless(TinyRunner):
    """Holds more tokens than it says."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        claimed = self.info
        TinyRunner.__init__(self, *arguments[:2], type(arguments[2])(slots=2), arguments[3])
        self.info = claimed


@PLUGINS.runner("test_the_context_ends_an_answer", "test_a_prompt_that_does_not_fit_is_refused")
class IgnoresTheContext(Endless):
    """It goes on behind the end of its context."""

    def prepare(self, request):
        if sum(len(message.text) for message in request.messages) > 2000:
            request = replace(request, messages=(Message.of("user", "It was long."),))
        return super().prepare(request)


@PLUGINS.runner("test_a_prompt_that_does_not_fit_is_refused")
class CutsPrompts(TinyRunner):
    """It drops the beginning of a prompt that does not fit, and tells nobody."""

    def render(self, request):
        return Prompt(super().render(request).tokens[-100:])


@PLUGINS.runner("test_logprobs_are_told_of_every_token_or_refused")
class LeavesLogprobsOut(Changes):
    """It takes a request for probabilities, and tells none."""

    def changed(self, chunk):
        return replace(chunk, logprobs=())


@PLUGINS.runner("test_logprobs_are_told_of_every_token_or_refused")
class TellsLogprobsUnasked(Forgets):
    """It tells how likely tokens are, whoever asks."""

    def changed(self, request):
        return replace(request, top_logprobs=request.top_logprobs or 2)


@PLUGINS.runner("test_greedy_answers_repeat")
class GrowsWeary(TinyRunner):
    """Its weights change with every answer."""

    def generate(self, prepared):
        self.weights["output"] = self.weights["output"] * -1.1
        yield from super().generate(prepared)


@PLUGINS.runner("test_greedy_answers_repeat")
class RemembersTheLast(TinyRunner):
    """The last question is still in its ear."""

    last = ()

    def render(self, request):
        prompt = super().render(request)
        before, self.last = self.last, prompt.tokens[:20]
        return Prompt((*before, *prompt.tokens), ())


@PLUGINS.runner("test_what_was_answered_before_changes_nothing")
class RewindsTooLittle(TinyRunner):
    """A token of the answer before is still in its cache, and the check for that is defeated: logits share memory."""

    class sequence(TinySequence):
        shared = None

        def read(self, rows):
            logits = super().read(rows)
            kind = type(self)
            if kind.shared is None or len(kind.shared) != len(logits):
                kind.shared = logits
            kind.shared[:] = logits
            return kind.shared

        def rewind(self, length):
            self.held = self.held[: length + 1]


@PLUGINS.runner("test_a_temperature_lets_chance_in")
class IgnoresTheTemperature(Forgets):
    """Every answer is greedy."""

    def changed(self, request):
        return replace(request, sampling=replace(request.sampling, temperature=0.0))


@PLUGINS.runner("test_a_temperature_lets_chance_in")
class IgnoresTheSeed(Forgets):
    """An answer that was drawn never comes again."""

    def changed(self, request):
        return replace(request, sampling=replace(request.sampling, seed=None))


@PLUGINS.runner("test_a_temperature_lets_chance_in")
class HasOneSeed(Forgets):
    """Whatever the seed, the same answer is drawn."""

    def changed(self, request):
        return replace(request, sampling=replace(request.sampling, seed=1))


@PLUGINS.runner("test_a_truncation_to_one_token_leaves_nothing_to_chance")
class IgnoresTruncation(Forgets):
    """It draws from all tokens, always."""

    def changed(self, request):
        return replace(request, sampling=replace(request.sampling, top_k=0, top_p=1.0, min_p=0.0))


@PLUGINS.runner("test_a_stop_text_ends_an_answer")
class IgnoresStopTexts(Forgets):
    """It says stop texts, and goes on."""

    def changed(self, request):
        return replace(request, sampling=replace(request.sampling, stop=()))


@PLUGINS.runner("test_a_stop_text_ends_an_answer")
class TakesOneStopText(Forgets):
    """Only the first stop text counts."""

    def changed(self, request):
        return replace(request, sampling=replace(request.sampling, stop=request.sampling.stop[:1]))


@PLUGINS.runner("test_words_to_avoid_are_not_said")
class IgnoresAvoid(Forgets):
    """It says the words that it shall not say."""

    def changed(self, request):
        return replace(request, avoid=())


@PLUGINS.runner("test_biases_move_tokens")
class IgnoresBiases(Forgets):
    """Biases move nothing."""

    def changed(self, request):
        if request.avoid:
            return request
        return replace(request, sampling=replace(request.sampling, logit_bias=()))


@PLUGINS.runner("test_penalties_keep_tokens_from_coming_again")
class IgnoresPenalties(Forgets):
    """Penalties keep nothing from coming again."""

    def changed(self, request):
        return replace(request, sampling=replace(request.sampling, presence_penalty=0.0, frequency_penalty=0.0))


@PLUGINS.runner("test_only_the_last_chunk_says_how_it_ended")
class EndsTwice(TinyRunner):
    """Something follows the last chunk's reason to end."""

    def generate(self, prepared):
        yield Chunk(finish_reason=FinishReason.CANCELLED, usage=Usage(), timings=Timings())


class TestAnswers(AnswerContract):
    @pytest.fixture(params=PLUGINS, ids=str)
    def plugin(self, request):
        return request.param

    @pytest.fixture
    def backend(self, plugin):
        return plugin.make()

    @pytest.fixture
    def bundle(self, tmp_path):
        return tiny_bundle(tmp_path)

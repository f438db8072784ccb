"""Runners with one fault each: answers that are held to a schema or a grammar."""

import codecs
from dataclasses import replace
from typing import ClassVar

import pytest
from mutants.tiny import RunnerMutants, TinyRunner, TinySequence, tiny_bundle

from olpipe.generation import FinishReason, Guidance
from olpipe.testing.contracts.guided import GuidanceContract

CONTRACT = GuidanceContract
PLUGINS = RunnerMutants()


@PLUGINS.runner("test_a_guided_document_is_always_whole", "test_any_json_is_an_object")
class ClaimsGuidance(TinyRunner):
    """It says that it takes guidance, and writes freely."""

    def prepare(self, request):
        return super().prepare(replace(request, guidance=None))


@PLUGINS.runner("test_a_guided_document_is_always_whole")
class CutsDocuments(TinyRunner):
    """A document ends where its budget does."""

    def generate(self, prepared):
        for said, chunk in enumerate(super().generate(prepared)):
            if said == 2 and chunk.finish_reason is None:
                yield replace(chunk, finish_reason=FinishReason.LENGTH, usage=None)
                return
            yield chunk


@PLUGINS.runner("test_a_stop_text_does_not_cut_a_document")
class StopsInDocuments(TinyRunner):
    """A stop text ends a document as it ends a text."""

    stops = ()

    def prepare(self, request):
        self.stops = request.sampling.stop if request.guidance else ()
        return super().prepare(request)

    def generate(self, prepared):
        for chunk in super().generate(prepared):
            cut = next((text for text in self.stops if text in chunk.text), None)
            if cut is not None:
                yield replace(chunk, text=chunk.text.partition(cut)[0], finish_reason=FinishReason.STOP)
                return
            yield chunk


@PLUGINS.runner("test_any_json_is_an_object")
class TakesAnyText(TinyRunner):
    """Any JSON is any text."""

    def prepare(self, request):
        anything = request.guidance is not None and request.guidance.kind == "json"
        return super().prepare(replace(request, guidance=None) if anything else request)


@PLUGINS.runner("test_other_guidance_is_followed_or_refused")
class IgnoresExpressions(TinyRunner):
    """It follows schemas, and ignores regular expressions and grammars."""

    def prepare(self, request):
        known = request.guidance is None or request.guidance.is_json
        return super().prepare(request if known else replace(request, guidance=None))


@PLUGINS.runner("test_what_is_known_is_spliced_and_counted_apart")
class GeneratesWhatIsKnown(TinyRunner):
    """It makes up values that are known."""

    def prepare(self, request):
        guidance = request.guidance and replace(request.guidance, constants=())
        return super().prepare(replace(request, guidance=guidance))


@PLUGINS.runner("test_what_is_known_is_spliced_and_counted_apart")
class CountsWhatIsKnownAsSampled(TinyRunner):
    """What was put in looks as if the model had said it."""

    def generate(self, prepared):
        for chunk in super().generate(prepared):
            usage = chunk.usage
            if usage is not None:
                usage = replace(usage, sampled_tokens=usage.sampled_tokens + usage.spliced_tokens, spliced_tokens=0)
            yield replace(chunk, usage=usage)


@PLUGINS.runner("test_no_half_of_a_character_is_shown")
class CutsCharacters(TinyRunner):
    """Each token's bytes are decoded by themselves, with `errors="replace"`."""

    def prepare(self, request):
        return super().prepare(replace(request, top_logprobs=0))

    def generate(self, prepared):
        for chunk in super().generate(prepared):
            parts = (bytes(token.data).decode("utf-8", errors="replace") for token in chunk.logprobs)
            yield replace(chunk, text="".join(parts), logprobs=())


@PLUGINS.runner("test_no_half_of_a_character_is_shown")
class CutsChunks(TinyRunner):
    """A chunk ends after so many bytes, in the middle of a character."""

    def generate(self, prepared):
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        for chunk in super().generate(prepared):
            data = chunk.text.encode()
            yield replace(chunk, text=decoder.decode(data[:2], final=True) + data[2:].decode(errors="replace"))


@PLUGINS.runner("test_guidance_leaves_no_trace")
class HandsOutItsTable(TinyRunner):
    """Its logits are the model's own array, and the decoder writes biases into it."""

    class sequence(TinySequence):
        tables: ClassVar = {}

        def read(self, rows):
            logits = super().read(rows)
            return self.tables.setdefault((id(self.weights), logits.tobytes()), logits)


@PLUGINS.runner("test_guidance_leaves_no_trace")
class StaysGuided(TinyRunner):
    """After a guided answer, free ones are guided as well."""

    guidance = None

    def prepare(self, request):
        self.guidance = request.guidance or self.guidance
        return super().prepare(replace(request, guidance=self.guidance))


@PLUGINS.runner("test_the_same_guidance_is_followed_again")
class GoesOnInTheGrammar(TinyRunner):
    """The second answer under a grammar begins where the first one ended."""

    used = False

    def prepare(self, request):
        if request.guidance is not None and self.used:
            request = replace(request, guidance=Guidance("regex", "[}]?"))
        self.used = self.used or request.guidance is not None
        return super().prepare(request)


class TestDocuments(GuidanceContract):
    @pytest.fixture(params=PLUGINS, ids=str)
    def plugin(self, request):
        return request.param

    @pytest.fixture
    def backend(self, plugin):
        return plugin.make()

    @pytest.fixture
    def bundle(self, tmp_path):
        return tiny_bundle(tmp_path)

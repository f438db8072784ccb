"""Plan the phases of an answer: whether it has thinking, tool calls or a document, as the request asks for them."""

from __future__ import annotations

from collections.abc import Sequence

from olpipe.decoding.call_grammar import CallGrammars, Calls
from olpipe.decoding.constraint import Constraint
from olpipe.decoding.phases import Plan, Thinks
from olpipe.decoding.reading import CallFormat, Markers
from olpipe.decoding.vocabulary import Vocabulary
from olpipe.errors import UsageError, nearest
from olpipe.generation import GenerateRequest, Tool
from olpipe.guidance.grammar import Grammars

_TAIL_TOKENS = 16
"""How many tokens at a prompt's end are looked at to see whether the chat template has opened the thinking."""


class Planner:
    """Plans the answers of one model."""

    def __init__(self, vocabulary: Vocabulary, markers: Markers, grammars: Grammars) -> None:
        """Set up for one model.

        Args:
            vocabulary: Its tokens.
            markers: How it marks the parts of its answers.
            grammars: Its compiled grammars.
        """
        self._vocabulary = vocabulary
        self._markers = markers
        self._visible = vocabulary.special_in(markers.texts)
        self._calls = None if markers.call is None else CallGrammars(vocabulary, grammars, markers.call)

    def plan(self, request: GenerateRequest, prompt: Sequence[int], document: Constraint | None) -> Plan | None:
        """Return the plan of an answer; None where it has a single part.

        Args:
            request: The request.
            prompt: The tokens of its prompt.
            document: What holds the answer to the format that the request asks for; None for a free text.

        Raises:
            SchemaError: The parameters of a tool cannot be enforced.
            UsageError: The request asks for something that the model does not do.
        """
        wants_thinking = request.think not in (None, "off")
        if wants_thinking and self._markers.thinking is None:
            raise UsageError(f'"{request.model}" does not support thinking', hint="leave `think` out")
        # 1. The tools. Where a call or a document must come, the model thinks first or not at all.
        tools, must_call = _offered(request), request.tool_choice.mode == "required"
        calls = self._constraint(request, tools, document)
        thinks: Thinks = "never" if request.think == "off" else "itself"
        if must_call or document is not None:
            thinks = "first" if wants_thinking else "never"
        # 2. Without thinking and tools there is one part only.
        opened = self._has_opened_thinking(prompt)
        parts = calls is not None or opened or thinks == "first"
        if not parts and (document is not None or self._markers.thinking is None):
            return None
        return Plan(self._markers, thinks, opened, document, calls, must_call, request.tool_choice.parallel)

    def banned(self, request: GenerateRequest) -> tuple[int, ...]:
        """Return the tokens that may not come because the request forbids tool calls."""
        if not request.tools or request.tool_choice.mode != "none" or self._markers.call is None:
            return ()
        token = self._vocabulary.token_of(self._markers.call.marker)
        return () if token is None else (token,)

    def _constraint(
        self, request: GenerateRequest, tools: tuple[Tool, ...], document: Constraint | None
    ) -> Constraint | None:
        """Return what holds tool calls to their tools; None where none may be called.

        Args:
            request: The request.
            tools: What may be called.
            document: What the answer is held to where it is no call.
        """
        if not tools:
            return None
        own = self._markers.call
        if own is None or self._calls is None:
            raise UsageError(f'"{request.model}" does not support tools', hint="leave `tools` out")
        if document is not None and not self._tells_apart(own):
            raise UsageError(
                f"`{request.model}` writes tool calls without a marker, so that they could be taken for the format",
                hint="leave out the tools or the format",
            )
        choice = request.tool_choice
        must_call = choice.mode == "required"
        many = choice.parallel and not (must_call and choice.name is not None)
        return self._calls.constraint(Calls(tools, must_call or document is not None, many=many))

    def _tells_apart(self, own: CallFormat) -> bool:
        """Say whether the first token tells a call from a document."""
        return bool(own.begin) or self._vocabulary.token_of(own.tag) is not None

    def _has_opened_thinking(self, tokens: Sequence[int]) -> bool:
        """Say whether a prompt ends with the marker that begins the thinking, so that the answer begins within it."""
        if self._markers.thinking is None:
            return False
        marker, tail = self._markers.thinking.begin, tokens[-_TAIL_TOKENS:]
        special = self._vocabulary.special_in([marker])
        # A user may write the text of the marker. It is quoted, so it does not become the marker's token.
        if special and not special.intersection(tail):
            return False
        text = self._vocabulary.bytes_of(tail, visible=self._visible)
        return text.decode(errors="replace").rstrip().endswith(marker)


def _offered(request: GenerateRequest) -> tuple[Tool, ...]:
    """Return the tools that the model may call.

    Raises:
        UsageError: The choice is about a tool that is not there, or there is none to choose.
    """
    choice = request.tool_choice
    if choice.mode == "none":
        return ()
    if choice.mode == "required" and not request.tools:
        raise UsageError("a tool has to be called, but the request has no tools", hint="list them in `tools`")
    if choice.name is None:
        return request.tools
    named = tuple(tool for tool in request.tools if tool.name == choice.name)
    if not named:
        close = nearest(choice.name, [tool.name for tool in request.tools], limit=1)
        hint = f"did you mean `{close[0]}`?" if close else "list it in `tools`"
        raise UsageError(f"the tool `{choice.name}` is not one of the request's tools", hint=hint)
    return named

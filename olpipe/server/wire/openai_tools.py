"""OpenAI's fields about tools: what a model may call, and whether it must."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import orjson

from olpipe.errors import SchemaError
from olpipe.generation import Tool
from olpipe.guidance.schema import check_schema
from olpipe.server.bodies.fields import Fields
from olpipe.server.refusal import Refusal
from olpipe.server.wire.tool_choices import Tools, choose_tools, function_of

_NO_ARGUMENTS = '{"type":"object","properties":{},"additionalProperties":false}'


def read_tools(fields: Fields) -> Tools:
    """Read `tools`, `tool_choice` and `parallel_tool_calls`, in the shapes of chat completions and of responses.

    Raises:
        Refusal: A tool is not a function, or the choice is not about these tools.
        SchemaError: No arguments can be held to a tool's schema.
    """
    tools = tuple(tool for given in fields.each("tools") for tool in _tools(given))
    chosen = choose_tools(fields, tools)
    parallel = fields.flag("parallel_tool_calls", default=True)
    return replace(chosen, choice=replace(chosen.choice, parallel=parallel))


def _tools(given: Fields) -> Iterator[Tool]:
    """Yield a tool, or those of a namespace. The latter have the namespace before their names."""
    kind = given.text("type", "function")
    if kind == "namespace":
        name = given.text("name")
        yield from (in_namespace(name, tool) for inner in given.each("tools") for tool in _tools(inner))
    elif kind == "function":
        yield _tool(given)
    else:
        hint = "leave the tool out, or offer it as a function and run it yourself"
        raise Refusal(400, f"`{given.place('type')}` cannot be `{kind}`: only functions are supported", hint=hint)


def _tool(given: Fields) -> Tool:
    function = function_of(given)
    name = function.text("name")
    if not name:
        raise Refusal(400, f"`{function.place('name')}` is missing")
    parameters = function.inner("parameters")
    schema = _NO_ARGUMENTS if parameters is None else orjson.dumps(parameters.values).decode()
    try:
        check_schema(schema)
    except SchemaError as error:
        raise SchemaError(f"`{function.place('parameters')}`: {error.message}", hint=error.hint) from error
    return Tool(name, function.text("description"), schema)


def in_namespace(namespace: str, tool: Tool) -> Tool:
    """Return a tool under the name that the model knows it by."""
    return Tool(qualified(namespace, tool.name), tool.description, tool.parameters)


def qualified(namespace: str, name: str) -> str:
    """Return the name that a model knows a function of a namespace by."""
    prefix = f"{namespace}."
    return name if not namespace or name.startswith(prefix) else prefix + name

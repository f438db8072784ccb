"""Give a conversation to a template as Ollama does: as messages, or turn by turn.

Source: https://github.com/ollama/ollama/blob/main/template/template.go
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from olpipe.families.go_template import nodes
from olpipe.families.go_template.functions import script_type
from olpipe.families.go_template.values import Missing, Struct, Written, WrittenList, written

_BETWEEN = "\n\n"
_PROPERTY = ("anyOf", "type", "items", "description", "enum", "properties", "required")
RESPONSE = nodes.Action(nodes.Pipe((nodes.Command((nodes.Field(("Response",)),)),)))
"""`{{ .Response }}`, which is put behind a template that has neither this nor messages."""


def names_in(tree: nodes.Tree) -> frozenset[str]:
    """Return the names of all fields that a template looks up, in small letters."""
    found: set[str] = set()
    left: list[Any] = [tree.root, *tree.defined.values()]
    while left:
        match left.pop():
            case nodes.Field(names) | nodes.Variable(_, names):
                found.update(name.lower() for name in names)
            case nodes.Chain(subject, names):
                left.append(subject)
                found.update(name.lower() for name in names)
            case nodes.Command(operands):
                left += operands
            case nodes.Pipe(commands):
                left += commands
            case nodes.Action(pipe) | nodes.Call(_, pipe):
                left.append(pipe)
            case nodes.Branch(_, pipe, body, otherwise):
                left += [pipe, body, otherwise]
            case tuple() as several:
                left += several
    return frozenset(found)


def collated(turns: Sequence[Mapping[str, Any]]) -> tuple[str, list[dict[str, Any]]]:
    """Return the system message, and the turns. Turns in a row that have the same role become one, except for tools."""
    system = _BETWEEN.join(str(turn["content"]) for turn in turns if turn["role"] == "system")
    found: list[dict[str, Any]] = []
    for turn in turns:
        if found and found[-1]["role"] == turn["role"] != "tool":
            found[-1]["content"] += _BETWEEN + turn["content"]
        else:
            found.append(dict(turn))
    return system, found


def message(turn: Mapping[str, Any]) -> Struct:
    """Return a turn as templates look into it."""
    calls = [_call(call, at) for at, call in enumerate(turn.get("tool_calls", ()))]
    fields = {
        "Role": turn["role"],
        "Content": turn["content"],
        "Thinking": turn.get("thinking", ""),
        "Images": Missing(),  # they stand in the content
        "ToolCalls": calls or Missing(),
        "ToolName": turn.get("name", ""),
        "ToolCallID": turn.get("tool_call_id", ""),
    }
    return Struct("a message", fields, fields)


def tools_of(tools: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Return tools as templates look into them."""
    return WrittenList([_tool(tool) for tool in tools]) if tools else Missing()


def each_turn(turns: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return what a template without messages is given, one time after another: `System`, `Prompt` and `Response`.

    With the last of them, the model goes on where its response begins.
    """
    found: list[dict[str, str]] = []
    now = {"System": "", "Prompt": "", "Response": ""}
    for turn in turns:
        role, content = turn["role"], turn["content"]
        ends = (now["Prompt"] or now["Response"]) if role == "system" else (role == "user" and now["Response"])
        if ends:
            found.append(now)
            now = {"System": "", "Prompt": "", "Response": ""}
        key = {"system": "System", "user": "Prompt", "assistant": "Response"}.get(role)
        if key is not None:
            now[key] = content
    return [*found, now]


def until_response(root: nodes.Nodes) -> nodes.Nodes:
    """Return the nodes of a template without what comes behind the first `.Response` that it writes."""
    return _until(root)[0]


def _until(found: nodes.Nodes) -> tuple[nodes.Nodes, bool]:
    kept: list[nodes.Node] = []
    for node in found:
        if isinstance(node, nodes.Action):
            kept.append(node)
            if _writes_response(node.pipe):
                return tuple(kept), True
        elif isinstance(node, nodes.Branch):
            body, ends = _until(node.body)
            otherwise, ends = ((), True) if ends else _until(node.otherwise)
            kept.append(replace(node, body=body, otherwise=otherwise))
            if ends:
                return tuple(kept), True
        else:
            kept.append(node)
    return tuple(kept), False


def _writes_response(pipe: nodes.Pipe) -> bool:
    operands = [operand for command in pipe.commands for operand in command.operands]
    return any(
        (isinstance(one, nodes.Field) and "Response" in one.names)
        or (isinstance(one, nodes.Pipe) and _writes_response(one))
        for one in operands
    )


def _call(call: Mapping[str, Any], at: int) -> Struct:
    function = call["function"]
    arguments = Written(function["arguments"])
    inner = {"Index": at, "Name": function["name"], "Arguments": arguments}
    as_json = {"index": at, "name": function["name"], "arguments": arguments}
    made = Struct("the function of a call", inner, as_json)
    return Struct("a call", {"ID": call["id"], "Function": made}, {"id": call["id"], "function": made})


def _tool(tool: Mapping[str, Any]) -> Struct:
    """Return a tool with what Ollama keeps of it. Ollama leaves out what it does not know of a schema."""
    function = tool["function"]
    schema = function["parameters"]
    known = {key: schema[key] for key in ("$defs", "items") if schema.get(key) is not None}
    required = schema.get("required") or None
    properties = _properties(schema.get("properties"))
    as_json = {"type": schema.get("type", ""), **known, **({"required": required} if required else {})}
    as_json["properties"] = properties
    fields = {
        "Type": schema.get("type", ""),
        "Defs": known.get("$defs"),
        "Items": known.get("items"),
        "Required": required or Missing(),
        "Properties": properties,
    }
    parameters = Struct("the parameters of a tool", fields, as_json)
    named = {"Name": function["name"], "Description": function["description"], "Parameters": parameters}
    inner = Struct("the function of a tool", named, {key.lower(): value for key, value in named.items()})
    return Struct(
        "a tool", {"Type": tool["type"], "Items": None, "Function": inner}, {"type": tool["type"], "function": inner}
    )


def _properties(found: Any) -> Written:
    return Written({key: _property(value) for key, value in found.items()} if isinstance(found, dict) else {})


def _property(schema: Any) -> Struct:
    schema = schema if isinstance(schema, dict) else {}
    known: dict[str, Any] = {key: schema[key] for key in _PROPERTY if schema.get(key)}
    if isinstance(known.get("properties"), dict):
        known["properties"] = _properties(known["properties"])
    if isinstance(known.get("anyOf"), list):
        known["anyOf"] = [_property(one) for one in known["anyOf"]]
    fields = {key[0].upper() + key[1:]: known.get(key) for key in _PROPERTY}
    fields |= {"Type": written(known.get("type", "")), "Description": known.get("description", "")}
    fields |= {name: fields[name] or Missing() for name in ("AnyOf", "Enum", "Required")}
    made = Struct("a property of a tool", fields, known)
    return Struct(made.kind, {**fields, "ToTypeScriptType": script_type(made)}, known)

"""Mistakes in how a command was written, in plain words: what is wrong, and what to write instead."""

from __future__ import annotations

import re
from typing import Any

import click

from olpipe.errors import nearest

_EXTRA = re.compile(r"got unexpected extra arguments? \((.*)\)", re.IGNORECASE | re.DOTALL)
_NO_COMMAND = re.compile(r"no such command '(.*?)'", re.IGNORECASE | re.DOTALL)
_LARGEST = (1 << 31) - 1  # where this is the most, nobody needs to know
_VALUE = re.compile(r"(.+?) is not (in the range|one of|a valid)", re.DOTALL)


def is_only_a_name(error: click.ClickException) -> bool:
    """Say whether a command was given no argument, and shows its help then. Such an error's message is the help."""
    return type(error).__name__ == "NoArgsIsHelpError"  # click has that name since 8.2


def told(error: click.ClickException) -> tuple[str, str | None]:
    """Return the message and the hint for a mistake that click found."""
    context = getattr(error, "ctx", None)
    if isinstance(error, click.MissingParameter) and error.param is not None:
        return _missing(error.param, context)
    if isinstance(error, click.BadParameter) and error.param is not None:
        return _bad_value(error, error.param)
    if isinstance(error, click.NoSuchOption):
        return _no_such_option(error, context)
    if isinstance(error, click.BadOptionUsage):
        return _bad_option(error, context)
    if (unknown := _NO_COMMAND.match(error.message)) is not None and isinstance(context, click.Context):
        return _no_such_command(unknown[1], context)
    if (extra := _EXTRA.match(error.message)) is not None and context is not None:
        are = "are" if " " in extra[1] else "is"
        return f"`{extra[1]}` {are} too much", f"write `{_usage(context)}`, with quotes around a value that has spaces"
    return _plain(error.format_message()), None if context is None else f"run `{context.command_path} --help`"


def _missing(parameter: click.Parameter, context: click.Context | None) -> tuple[str, str | None]:
    name = f"`{_longest(parameter)}`" if isinstance(parameter, click.Option) else _argument(parameter)
    return f"{name} is missing", None if context is None else _write(context)


def _bad_value(error: click.BadParameter, parameter: click.Parameter) -> tuple[str, str]:
    name = f"`{_longest(parameter)}`" if isinstance(parameter, click.Option) else _argument(parameter)
    value = _VALUE.match(error.message)
    if value is None:
        message, _, advice = _plain(error.message).partition("; ")
        context = error.ctx
        return f"{name}: {message}", advice or (f"run `{context.command_path} --help`" if context is not None else "")
    given = value[1].strip("'\"")
    return f"{name} cannot be `{given}`", f"give {_expected(parameter.type, given)}"


def _expected(kind: click.ParamType[Any], given: str) -> str:
    """Say what values a kind has."""
    if isinstance(kind, click.Choice):
        choices = [str(choice) for choice in kind.choices]
        close = nearest(given, choices, limit=1)
        return f"`{close[0]}`" if close else f"one of {', '.join(f'`{choice}`' for choice in choices)}"
    number = "a whole number" if isinstance(kind, click.types.IntParamType) else "a number"
    if not isinstance(kind, click.IntRange | click.FloatRange):
        return number
    if None not in (kind.min, kind.max) and kind.max != _LARGEST and not (kind.min_open or kind.max_open):
        return f"{number} from {kind.min} to {kind.max}"
    least = None if kind.min is None else f"more than {kind.min}" if kind.min_open else f"at least {kind.min}"
    most = None if kind.max in (None, _LARGEST) else f"less than {kind.max}" if kind.max_open else f"at most {kind.max}"
    return f"{number}, {' and '.join(bound for bound in (least, most) if bound)}" if least or most else number


def _no_such_option(error: click.NoSuchOption, context: click.Context | None) -> tuple[str, str | None]:
    if context is None:
        return f"there is no option `{error.option_name}`", None
    known = [name for parameter in context.command.get_params(context) for name in parameter.opts]
    close = nearest(error.option_name, [name for name in known if name.startswith("--")])
    message = f"`{context.command_path}` has no option `{error.option_name}`"
    if close:
        return message, f"did you mean {' or '.join(f'`{match}`' for match in close)}?"
    return message, f"run `{context.command_path} --help` to see its options"


def _no_such_command(name: str, context: click.Context) -> tuple[str, str]:
    """Tell of a word that is no command of a group within."""
    known = context.command.list_commands(context) if isinstance(context.command, click.Group) else []
    close = nearest(name, known)
    message = f"`{context.command_path}` has no command `{name}`"
    if close:
        return message, f"did you mean {' or '.join(f'`{match}`' for match in close)}?"
    return message, f"run `{context.command_path} --help` to see its commands"


def _bad_option(error: click.BadOptionUsage, context: click.Context | None) -> tuple[str, str | None]:
    """Tell of an option that has no value, or one that it does not take."""
    option = None
    if context is not None:
        options = [known for known in context.command.get_params(context) if isinstance(known, click.Option)]
        option = next((known for known in options if error.option_name in known.opts), None)
    if "does not take" in error.message:
        return f"`{error.option_name}` takes no value", f"write `{error.option_name}` alone"
    value = "VALUE" if option is None else value_name(option)
    return f"`{error.option_name}` has no value", f"write `{error.option_name} {value}`"


def _write(context: click.Context) -> str:
    return f"write `{_usage(context)}`, or run `{context.command_path} --help`"


def _usage(context: click.Context) -> str:
    """Return how a command is written, with all that it needs and nothing else."""
    parameters = context.command.params
    arguments = [_argument(one) if one.required else f"[{_argument(one)}]" for one in parameters if _is_argument(one)]
    options = [
        f"{one.opts[0]} {value_name(one)}" for one in parameters if isinstance(one, click.Option) and one.required
    ]
    return " ".join([context.command_path, *arguments, *options])


def value_name(option: click.Option) -> str:
    """Return how a help page calls the value of an option."""
    return option.metavar or option.type.name.split()[0].upper()


def _is_argument(parameter: click.Parameter) -> bool:
    return isinstance(parameter, click.Argument)


def _argument(parameter: click.Parameter) -> str:
    """Return how a help page calls an argument."""
    return parameter.metavar or (parameter.name or "").upper() + ("..." if parameter.nargs == -1 else "")


def _longest(option: click.Parameter) -> str:
    return max(option.opts, key=len)


def _plain(text: str) -> str:
    return text[:1].lower() + text[1:].rstrip(".")

"""Mistakes in how a command was written: each is one line that says what is wrong, and one that says what to write."""

import click
import pytest

from olpipe.cli.group import COMMANDS
from olpipe.cli.main import cli, main

MISTAKES = [
    ("frobnicate", "no such command `frobnicate`", "run `olpipe help` to see all commands"),
    ("rnu", "no such command `rnu`", "did you mean `run`? run `olpipe help` to see all commands"),
    ("models", "no such command `models`", "did you mean `list`? run `olpipe help` to see all commands"),
    ("version", "no such command `version`", "did you mean `--version`? run `olpipe help` to see all commands"),
    ("strat", "no such command `strat`", "did you mean `start`? run `olpipe help` to see all commands"),
    ("--frobnicate", "`olpipe` has no option `--frobnicate`", "run `olpipe --help` to see its options"),
    ("show", "MODEL is missing", "write `olpipe show MODEL`, or run `olpipe show --help`"),
    ("rm", "MODELS... is missing", "write `olpipe rm MODELS...`, or run `olpipe rm --help`"),
    ("cp a", "DESTINATION is missing", "write `olpipe cp SOURCE DESTINATION`, or run `olpipe cp --help`"),
    ("batch", "`--output` is missing", "write `olpipe batch [INPUT...] -o OUTPUT`, or run `olpipe batch --help`"),
    ("batch a", "`--output` is missing", "write `olpipe batch [INPUT...] -o OUTPUT`, or run `olpipe batch --help`"),
    ("cp a b c", "`c` is too much", "write `olpipe cp SOURCE DESTINATION`, with quotes around a value that has spaces"),
    ("list a b c", "`b c` are too much", "write `olpipe list [PREFIX]`, with quotes around a value that has spaces"),
    ("run m hi --formt json", "`olpipe run` has no option `--formt`", "did you mean `--format`?"),
    ("run m hi -y", "`olpipe run` has no option `-y`", "run `olpipe run --help` to see its options"),
    ("run m hi --seed", "`--seed` has no value", "write `--seed VALUE`"),
    ("run m hi --seed x", "`--seed` cannot be `x`", "give a whole number, at least 0"),
    ("run m hi --top-p 3", "`--top-p` cannot be `3.0`", "give a number, more than 0 and at most 1"),
    ("run m hi --max-tokens 1.5", "`--max-tokens` cannot be `1.5`", "give a whole number, at least 1"),
    ("run m hi --device tpu", "`--device` cannot be `tpu`", "give `cpu`"),
    ("run m hi --device fpga", "`--device` cannot be `fpga`", "give one of `cpu`, `cuda`, `directml`"),
    ("run m hi --keepalive 1w", "`--keepalive`: `1w` is not a duration", "write one like `10m` or `1h30m`"),
    ("run m hi --verbose=1", "`--verbose` takes no value", "write `--verbose` alone"),
    ("batch photos -o out --min-score high", "`--min-score` cannot be `high`", "give a number"),
    ("store verfy", "`olpipe store` has no command `verfy`", "did you mean `verify`?"),
    ("store dance", "`olpipe store` has no command `dance`", "run `olpipe store --help` to see its commands"),
    (
        "store verify --frob",
        "`olpipe store verify` has no option `--frob`",
        "run `olpipe store verify --help` to see its options",
    ),
    ("help store verfy", "`olpipe store` has no command `verfy`", "did you mean `verify`?"),
    ("help run me", "`olpipe run` has no commands, so `me` is too much", "run `olpipe run --help`"),
    ("completion tcsh", "SHELL cannot be `tcsh`", "give one of `bash`, `zsh`, `fish`"),
]


@pytest.fixture(autouse=True)
def called_olpipe(monkeypatch):
    monkeypatch.setattr("sys.argv", ["olpipe"])


@pytest.mark.parametrize(("line", "message", "hint"), MISTAKES, ids=[line for line, _, _ in MISTAKES])
def test_a_mistake_is_one_line_and_a_hint(capsys, line, message, hint):
    with pytest.raises(SystemExit) as ended:
        main(line.split())
    said = capsys.readouterr()
    assert (ended.value.code, said.out) == (2, "")
    assert said.err == f"error: {message}\nhint: {hint}\n"


@pytest.mark.parametrize("name", ["signin", "signout", "login", "logout"])
def test_the_commands_of_ollamas_cloud_say_that_no_account_is_needed(capsys, name):
    with pytest.raises(SystemExit):
        main([name])
    message, hint = capsys.readouterr().err.splitlines()
    assert message == f"error: no such command `{name}`"
    assert hint.startswith("hint: no account is needed; ")


def test_what_was_typed_stays_on_one_line_and_is_no_command_for_the_terminal(capsys):
    with pytest.raises(SystemExit):
        main(["a\nb\x1b[31mc"])
    assert capsys.readouterr().err.splitlines()[0] == "error: no such command `a\\nb\\x1b[31mc`"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_to_do_about_an_option_that_it_does_not_have(capsys, name):
    with pytest.raises(SystemExit) as ended:
        main([name, "--frobnicate"])
    assert ended.value.code == 2
    message, hint = capsys.readouterr().err.splitlines()
    assert message == f"error: `olpipe {name}` has no option `--frobnicate`"
    assert hint == f"hint: run `olpipe {name} --help` to see its options"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_is_too_much(capsys, name):
    command = cli.get_command(click.Context(cli), name)
    if isinstance(command, click.Group):
        return
    arguments = [one for one in command.params if isinstance(one, click.Argument)]
    if any(one.nargs == -1 for one in arguments):
        return
    options = [one for one in command.params if isinstance(one, click.Option) and one.required]
    needed = [text for one in options for text in (one.opts[0], "jsonl")]
    with pytest.raises(SystemExit) as ended:
        main([name, *(["bash"] * len(arguments)), "extra", *needed])
    message, hint = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2
    assert message == "error: `extra` is too much"
    assert hint.startswith(f"hint: write `olpipe {name}")

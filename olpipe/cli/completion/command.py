"""`olpipe completion`: the script that lets a shell complete lines of olpipe."""

from __future__ import annotations

import click

from olpipe.cli.completion.answer import SHELLS, script


@click.command()
@click.argument("shell", type=click.Choice(SHELLS), metavar="SHELL")
def completion(shell: str) -> None:
    """Write the script that lets SHELL complete lines of olpipe: bash, zsh or fish.

    It completes commands, options, names of models, recipes and plugins, and paths. To have it in every new shell,
    do this once:

    \b
    bash   echo 'eval "$(olpipe completion bash)"' >> ~/.bashrc
    zsh    echo 'eval "$(olpipe completion zsh)"' >> ~/.zshrc
    fish   olpipe completion fish > ~/.config/fish/completions/olpipe.fish
    """  # noqa: D301 - click takes the backspace for "leave these lines as they are"
    click.echo(script(shell), nl=False)

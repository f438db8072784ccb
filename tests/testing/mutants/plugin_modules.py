"""A good plugin's module, and modules with one fault each."""

import sys
import textwrap

import pytest
from mutants.breaking import Mutants

from olpipe.testing.contracts import PluginContract
from olpipe.testing.fixtures import plugin_folder

__all__ = ["plugin_folder"]

CONTRACT = PluginContract
NAME = "a_plugin_of_the_tests"


def good():
    """Return the source of a module that brings a sink and a command."""
    return textwrap.dedent(
        '''
        import click

        from olpipe.hookspecs import hookimpl
        from olpipe.interfaces import SinkFactory


        class Nowhere(SinkFactory):
            scheme, usual_target = "nowhere", "nowhere"

            def open(self, target, run):
                raise NotImplementedError


        @click.command()
        def hello():
            """Say hello."""


        @hookimpl
        def register_sinks():
            return (Nowhere(),)


        @hookimpl
        def register_commands(cli):
            cli.add_command(hello)
        '''
    )


PLUGINS = Mutants(good)


@PLUGINS.broken("test_it_is_accepted")
def misspells_a_hook():
    """It implements a hook that there is not."""
    return good().replace("def register_sinks", "def register_sink")


@PLUGINS.broken("test_it_is_accepted")
def forgets_the_mark():
    """Its hook would never be called."""
    return good().replace("@hookimpl\ndef register_sinks", "def register_sinks")


@PLUGINS.broken("test_it_is_accepted")
def returns_something_else():
    """It brings a class where a thing is expected."""
    return good().replace("(Nowhere(),)", "(Nowhere,)")


@PLUGINS.broken("test_every_hook_returns_what_it_brings")
def returns_nothing():
    """Its hook forgets to return."""
    return good().replace("return (Nowhere(),)", "(Nowhere(),)")


@PLUGINS.broken("test_it_is_accepted")
def brings_the_same_twice():
    """Two things have one name."""
    return good().replace("(Nowhere(),)", "(Nowhere(), Nowhere())")


@PLUGINS.broken("test_it_is_accepted")
def brings_what_is_not_finished():
    """A method that is needed is missing."""
    return good().replace("def open(", "def close(")


@PLUGINS.broken("test_it_is_accepted")
def asks_for_arguments():
    """Its hook wants something that hooks are not given."""
    return good().replace("def register_sinks()", "def register_sinks(settings)")


@PLUGINS.broken("test_it_brings_its_commands")
def names_its_command_otherwise():
    """The command has another name than its entry point."""
    return good().replace("@click.command()", '@click.command("hi")')


@PLUGINS.broken("test_it_brings_its_commands")
def adds_no_command():
    """Its entry point leads nowhere."""
    return good().replace("cli.add_command(hello)", "pass")


@PLUGINS.broken("test_it_brings_its_commands")
def says_nothing_of_its_command():
    """`--help` shows an empty page."""
    return good().replace('"""Say hello."""', "pass")


@PLUGINS.broken("test_importing_it_imports_nothing_heavy")
def imports_numpy():
    """Every command waits for numpy."""
    return "import numpy\n" + good()


@PLUGINS.broken("test_importing_it_imports_nothing_heavy")
def imports_pillow_behind_the_scenes():
    """Every command waits for what its own imports import."""
    return "from olpipe.testing.images import decoded\nfrom PIL.Image import Image\n" + good()


@PLUGINS.broken("test_what_it_brings_imports_nothing_heavy")
def imports_numpy_in_its_hook():
    """Every command waits for numpy, a little later."""
    return good().replace("    return (Nowhere(),)", "    import numpy\n    return (Nowhere(),)")


class TestModule(PluginContract):
    module, commands = NAME, ("hello",)

    @pytest.fixture(params=PLUGINS, ids=str)
    def plugin(self, request):
        return request.param

    @pytest.fixture(autouse=True)
    def written(self, plugin, plugin_folder):
        (plugin_folder / f"{NAME}.py").write_text(plugin.make(), encoding="utf-8")
        yield
        sys.modules.pop(NAME, None)

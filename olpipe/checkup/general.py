"""The report on the machine: everything that somebody who has just installed olpipe has to know."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from olpipe.checkup.abilities import check_images, check_languages
from olpipe.checkup.address import check_server
from olpipe.checkup.hardware import has_directml, nvidia_gpus
from olpipe.checkup.host import check_machine
from olpipe.checkup.report import Report, Section, attempt, examined
from olpipe.checkup.runtimes import check_runtimes, fitting_extra
from olpipe.checkup.shelf import check_store
from olpipe.checkup.stock import check_models
from olpipe.checkup.surroundings import check_plugins, check_settings
from olpipe.plugins import Plugins
from olpipe.settings import Settings
from olpipe.store.library import Library


def machine_report(settings: Settings, library: Library, plugins: Plugins, *, root: Path = Path("/")) -> Report:
    """Look at everything that running models depends on. Nothing is loaded, and nothing is asked of the internet.

    Args:
        settings: The settings.
        library: The models.
        plugins: The plugins.
        root: Where `/proc` and `/sys` are.
    """
    gpus, directml = nvidia_gpus(root=root), has_directml()
    extra = fitting_extra(gpus, directml=directml)
    checks: list[tuple[str, str, Callable[[Section], None]]] = [
        ("machine", "Machine", lambda found: check_machine(found, gpus=gpus, directml=directml, root=root)),
        ("runtimes", "Runtimes", lambda found: check_runtimes(found, gpus=gpus, directml=directml)),
        ("store", "Store", lambda found: check_store(found, settings, library)),
        ("models", "Models", lambda found: check_models(found, settings, library, plugins, extra=extra)),
        ("images", "Images and languages", lambda found: _check_reading(found, plugins, library)),
        ("server", "Server", lambda found: check_server(found, settings)),
        ("settings", "Settings", check_settings),
        ("plugins", "Plugins", lambda found: check_plugins(found, plugins)),
    ]
    return examined(checks)


def _check_reading(section: Section, plugins: Plugins, library: Library) -> None:
    check_images(section, plugins)
    attempt(section, "languages", lambda: check_languages(section, plugins, library))

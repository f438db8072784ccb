"""What is at the address of the server: olpipe, Ollama, something else, or nobody."""

from __future__ import annotations

import os
import threading

from olpipe import __version__
from olpipe.checkup.report import Section, attempt
from olpipe.errors import OlpipeError, ServerUnreachable, UsageError
from olpipe.network.addresses import DEFAULT_NAME, MOST_PORT, Address
from olpipe.network.connecting import connects
from olpipe.settings import Settings

WITHIN_S = 1.0
"""How long an answer may take."""

DEADLINE_S = 2.5
"""How long everything may take. The system may look for the address of a host for longer."""


def check_server(section: Section, settings: Settings) -> None:
    """Fill a section about the server, and give up where that takes too long."""
    section.facts["address"] = str(settings.host)
    found = Section(section.name, section.title)
    worker = threading.Thread(
        target=attempt, args=(found, "address", lambda: _look(found, settings)), name="doctor", daemon=True
    )
    worker.start()
    worker.join(DEADLINE_S)
    if worker.is_alive():
        section.add("address", f"{settings.host} does not answer", "note")
        return
    section.rows += found.rows
    section.facts |= found.facts
    section.steps += found.steps


def _look(section: Section, settings: Settings) -> None:
    """Say what answers, or whether the server could listen there."""
    from olpipe.client.finding import reachable

    address = reachable(settings.host)
    section.facts |= {"answers": None, "can_listen": None}
    if connects(address, within_s=WITHIN_S):
        _ask(section, settings, address)
    else:
        _try_to_listen(section, settings)


def _ask(section: Section, settings: Settings, address: Address) -> None:
    """Ask what it is."""
    from olpipe.client.finding import PRODUCT
    from olpipe.client.server import Server

    trouble = f"what answers at {address} is no server of models"
    try:
        with Server(address, key=next(iter(settings.api_keys), "")) as server:
            found = server.get("/api/version", within_s=WITHIN_S)
    except UsageError as error:
        section.facts["answers"] = {"product": None, "version": None}
        section.add("address", f"a server at {address} refuses: {error.message}", "note")
        return
    except ServerUnreachable as error:
        found, trouble = {}, error.message
    except OlpipeError:
        found = {}
    version = found.get("version")
    product = PRODUCT if found.get("product") == PRODUCT else "Ollama" if isinstance(version, str) else None
    section.facts["answers"] = {"product": product, "version": version}
    if product is None:
        section.add("address", trouble, "note")
        section.advise(_elsewhere(settings.host), f"It lets the server listen elsewhere, because {address} is taken.")
    elif product != PRODUCT:
        section.add("address", f"{product} {version} answers at {address}; `olpipe serve` needs another OLLAMA_HOST")
    elif version != __version__:
        section.add("address", f"olpipe {version} answers at {address}, and this is olpipe {__version__}", "note")
        section.advise(
            "olpipe serve", f"Stop the server at {address} first: it is olpipe {version}, not {__version__}."
        )
    else:
        section.add("address", f"olpipe {version} answers at {address}", "ok")


def _try_to_listen(section: Section, settings: Settings) -> None:
    """Say whether the server could listen at its address, in the words in which it would refuse."""
    from olpipe.server.edge.sockets import listening

    try:
        with listening(settings.host):
            section.facts["can_listen"] = True
    except OlpipeError as error:
        section.facts["can_listen"] = False
        section.add("address", f"nobody answers at {settings.host}, and {error.message}", "note")
        section.advise(_elsewhere(settings.host), error.hint or "It lets the server listen at another address.")
        return
    section.add("address", f"nobody answers at {settings.host}; `olpipe serve` can listen there", "ok")


def _elsewhere(host: Address) -> str:
    """Return the command that lets the server listen at the next port of this machine."""
    port = host.port + 1 if 1024 <= host.port < MOST_PORT else Address().port + 1
    if os.name == "nt":
        return f"$env:OLLAMA_HOST = '{DEFAULT_NAME}:{port}'; olpipe serve"
    return f"OLLAMA_HOST={DEFAULT_NAME}:{port} olpipe serve"

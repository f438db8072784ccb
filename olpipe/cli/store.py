"""`olpipe store`: check, mend and tidy up what is on the disk, and take over what Ollama has."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from olpipe.errors import UsageError

if TYPE_CHECKING:
    from olpipe.cli.app import App
    from olpipe.model import ModelName
    from olpipe.store.verify import Verified

_DAMAGED = 1


@click.group()
def store() -> None:
    """Check, mend and tidy up what is on the disk: models, conversions, caches and downloads."""


@store.command()
@click.argument("models", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object.")
@click.pass_obj
def verify(app: App, models: tuple[str, ...], as_json: bool) -> None:
    """Read everything that MODELS consist of, and say what is damaged. Without MODELS, check the whole store.

    Each file is read and compared with its digest: the blobs, the files that are laid out for a backend, and the
    converted packages. Manifests, configs and the headers of GGUF files are read, too. Nothing is changed. The exit
    code is 1 if anything is damaged.
    """
    from olpipe.cli import store_report

    found = _verified(app, models)
    if as_json:
        store_report.write_json(store_report.verified(found))
    else:
        click.echo(store_report.verified_lines(found))
    if not found.is_sound:
        sys.exit(_DAMAGED)


@store.command()
@click.argument("models", nargs=-1)
@click.option("--insecure", is_flag=True, help="Ask a registry over plain HTTP, which others can read and change.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object.")
@click.pass_obj
def repair(app: App, models: tuple[str, ...], insecure: bool, as_json: bool) -> None:
    """Check MODELS as `olpipe store verify` does, and mend what is damaged. Without MODELS, mend the whole store.

    Damaged and missing files are fetched again from where the model came from. Files that are laid out and converted
    packages are made anew. What is sound is left as it is. Damaged files are moved into the folder `damaged` of the
    store, and `olpipe store prune` removes them. The exit code is 1 if a model is still damaged: it is named then.
    """
    from olpipe.cli import store_report
    from olpipe.cli.progress import shown
    from olpipe.store.repair import repair as repair_store

    found = _verified(app, models)
    with shown("mending what is damaged") as display:
        done = repair_store(found, app.library, app.plugins, display, insecure=insecure)
    if as_json:
        store_report.write_json(store_report.repaired(found, done))
    else:
        click.echo(store_report.repaired_lines(found, done))
    if any(model.lost for model in done):
        sys.exit(_DAMAGED)


@store.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before something is removed.")
@click.option("--partials", is_flag=True, help="Give up unfinished downloads, too.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object. Nothing is asked then.")
@click.pass_obj
def prune(app: App, dry_run: bool, yes: bool, partials: bool, as_json: bool) -> None:
    """Remove what no model needs, after a question.

    These are blobs that no manifest names, files and packages that were made of models that are gone, packages of
    earlier formats, evidence of perceivers that are not here in that version, damaged blobs that were moved aside, and
    files of processes that died. What is younger than an hour stays, because a process may still need it. Blobs stay
    where OLLAMA_NOPRUNE is set.

    Unfinished downloads stay, however old they are, unless `--partials` gives them up. A download that goes on stays.
    """
    from olpipe.cli import store_report
    from olpipe.store import prune as pruning

    _check_asking(asks=not (dry_run or yes), as_json=as_json)
    downloads = pruning.downloads(app.library) if partials else []
    planned = pruning.plan(app.library)
    evidence = app.evidence.outdated(_perceivers(app))
    report = store_report.Pruning(planned, tuple(downloads), evidence)
    if not as_json:
        click.echo(store_report.pruning_lines(report, is_over=False), err=not dry_run)
    if not dry_run and report.is_something:
        if not yes and not click.confirm("Remove all this?", err=True):
            raise click.Abort
        given_up = pruning.give_up(app.library) if partials else []
        done = pruning.prune(app.library)
        app.evidence.discard_outdated(_perceivers(app))
        report = store_report.Pruning(done, tuple(given_up), evidence)
        if not as_json:
            click.echo(store_report.pruning_lines(report, is_over=True))
    if as_json:
        store_report.write_json(store_report.pruning(report, removed=not dry_run))


@store.command()
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object.")
@click.pass_obj
def du(app: App, as_json: bool) -> None:
    """Show what takes how much of the disk: each model, downloads that are not finished, and caches.

    OWN is what only this model needs, so that `olpipe rm` frees it. SHARED is what other models need, too. CONVERTED is
    what was made of the model, and can be made again.
    """
    from olpipe.cli import store_report
    from olpipe.store.usage import usage

    found = usage(app.library)
    if as_json:
        store_report.write_json(store_report.usage(found))
    else:
        click.echo(store_report.usage_lines(found))


@store.command("import")
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--dry-run", "--list", "dry_run", is_flag=True, help="Only list what Ollama has there.")
@click.option("--copy", "copies", is_flag=True, help="Copy files where they cannot be shared.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object.")
@click.pass_obj
def import_(app: App, folder: Path | None, dry_run: bool, copies: bool, as_json: bool) -> None:
    """Take over the models that Ollama has in FOLDER. Without FOLDER, Ollama's usual folders are looked at.

    Names stay as they are. Files are not copied: they get a second name, or share their blocks on the disk. This needs
    both folders on the same disk, and `--copy` copies otherwise. Nothing in FOLDER is changed. Each file is checked
    against its digest. What cannot run here is named with the reason, and skipped.
    """
    from olpipe.cli import store_report
    from olpipe.cli.progress import shown
    from olpipe.errors import OlpipeError
    from olpipe.store.ollama_folder import OllamaFolder, usual_folder

    where = (folder or usual_folder()).expanduser().absolute()
    if where.resolve() == app.library.folder.resolve():
        hint = "it is OLLAMA_MODELS or OLPIPE_HOME that names it; there is nothing to import"
        raise UsageError(f"`{where}` is olpipe's own folder of models", hint=hint)
    ollama = OllamaFolder(where)
    found = list(ollama.models(app.library, app.plugins.backends))
    results: list[store_report.Imported] = []
    with shown(f"taking over models from `{where}`") as display:
        for model in found:
            trouble = model.trouble
            if not (dry_run or trouble or model.is_here):
                try:
                    ollama.take(model, app.library, display, copies=copies)
                except OlpipeError as error:
                    trouble = "; ".join(filter(None, (error.message, error.hint)))
            results.append(store_report.Imported(model, trouble))
    if as_json:
        store_report.write_json(store_report.imported(where, results, listed=dry_run))
    else:
        click.echo(store_report.imported_lines(where, results, listed=dry_run))
    if any(result.trouble and not result.model.trouble for result in results):
        sys.exit(_DAMAGED)


def _verified(app: App, models: tuple[str, ...]) -> Verified:
    from olpipe.cli.progress import shown
    from olpipe.model import ModelName
    from olpipe.store.verify import verify as verify_store

    names: list[ModelName] | None = [ModelName.parse(model) for model in models] or None
    with shown("reading every file of the store" if names is None else "reading every file of the models") as display:
        return verify_store(app.library, names, display)


def _check_asking(*, asks: bool, as_json: bool) -> None:
    """Check that a question can be asked, where one has to be.

    Raises:
        UsageError: It cannot.
    """
    if asks and (as_json or not sys.stdin.isatty()):
        hint = "allow it with `--yes`, or see what would be removed with `--dry-run`"
        raise UsageError("nobody can be asked whether to remove something", hint=hint)


def _perceivers(app: App) -> list[tuple[str, str]]:
    """Return the name and the version of each perceiver."""
    return [(perceiver.name, perceiver.version) for perceiver in app.plugins.perceivers]

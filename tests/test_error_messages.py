"""What people and programs are told when something goes wrong: words, exit code, HTTP status."""

import re
import subprocess
import sysconfig
from pathlib import Path

import pytest

from olpipe import errors
from olpipe.cli.main import cli, main
from olpipe.errors import OlpipeError, nearest

# Class, the class above it, exit code, HTTP status: the tree at the top of `errors.py` as data.
TREE = [
    ("OlpipeError", "Exception", 1, 500),
    ("UsageError", "OlpipeError", 2, 400),
    ("InvalidName", "UsageError", 2, 400),
    ("RecipeError", "UsageError", 2, 400),
    ("SchemaError", "UsageError", 2, 400),
    ("UnknownName", "UsageError", 2, 400),
    ("ModelError", "OlpipeError", 1, 400),
    ("ModelNotFound", "ModelError", 1, 404),
    ("ModelUnsupported", "ModelError", 1, 400),
    ("ModelCorrupt", "ModelError", 1, 400),
    ("StoreError", "OlpipeError", 1, 500),
    ("DigestMismatch", "StoreError", 1, 500),
    ("PullFailed", "StoreError", 1, 500),
    ("NotAtSource", "PullFailed", 1, 500),
    ("PushFailed", "StoreError", 1, 500),
    ("SourceUnreachable", "StoreError", 1, 502),
    ("ImageError", "OlpipeError", 1, 400),
    ("ImageUnreadable", "ImageError", 1, 400),
    ("ImageTooLarge", "ImageError", 1, 400),
    ("ImageUnsupported", "ImageError", 1, 400),
    ("GenerationError", "OlpipeError", 1, 500),
    ("ContextExceeded", "GenerationError", 1, 400),
    ("GrammarExceeded", "GenerationError", 1, 400),
    ("InvalidOutput", "GenerationError", 1, 500),
    ("PluginError", "OlpipeError", 1, 500),
    ("ServerUnreachable", "OlpipeError", 1, 502),
    ("MachineError", "OlpipeError", 4, 503),
    ("BackendMissing", "MachineError", 4, 503),
    ("BackendCrashed", "MachineError", 4, 503),
    ("LoadStalled", "MachineError", 4, 503),
    ("Busy", "MachineError", 4, 503),
    ("OutputUnavailable", "MachineError", 4, 503),
    ("OutputBusy", "MachineError", 4, 503),
    ("DiskFull", "MachineError", 4, 503),
]
CLASSES: dict[str, type[OlpipeError]] = {
    name: found for name, found in vars(errors).items() if isinstance(found, type) and issubclass(found, OlpipeError)
}
OLPIPE = str(Path(sysconfig.get_path("scripts")) / "olpipe")


def test_the_table_holds_every_error():
    assert [name for name, *_ in TREE] == list(CLASSES)


@pytest.mark.parametrize(("name", "above", "exit_code", "http_status"), TREE)
def test_an_error_has_its_place_its_exit_code_and_its_status(name, above, exit_code, http_status):
    found = CLASSES[name]
    assert found.__base__ is not None
    assert (found.__base__.__name__, found.exit_code, found.http_status) == (above, exit_code, http_status)
    assert re.search(rf"^ +[├│└─ ]*{name}\b", errors.__doc__ or "", re.MULTILINE)


@pytest.mark.parametrize(("name", "exit_code"), [(name, exit_code) for name, _, exit_code, _ in TREE])
@pytest.mark.parametrize("hint", [None, "look again"])
def test_the_command_line_says_what_happened_and_ends_with_its_code(name, exit_code, hint, monkeypatch, capsys):
    def fail(**_):
        raise CLASSES[name]("`this` went wrong", hint=hint)

    monkeypatch.setattr(cli, "main", fail)
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == exit_code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "error: `this` went wrong\n" + (f"hint: {hint}\n" if hint else "")


COMMANDS = [
    (
        ["bacth"],
        2,
        "error: no such command `bacth`\n"
        "hint: did you mean `batch` or `watch`? run `olpipe help` to see all commands\n",
    ),
    (
        ["pull"],
        2,
        "error: SOURCE is missing\nhint: write `olpipe pull SOURCE`, or run `olpipe pull --help`\n",
    ),
    (
        ["batch", "photos", "--output", "out", "--limit", "0"],
        2,
        "error: `--limit` cannot be `0`\nhint: give a whole number, at least 1\n",
    ),
    (
        ["batch", "nowhere", "--output", "out"],
        2,
        "error: `nowhere` is not there\n",
    ),
    (
        ["batch", "photos", "-o", "out", "--recipe", "photo-tag"],
        2,
        "error: there is no recipe `photo-tag`\nhint: did you mean `photo-tags`?\n",
    ),
    (
        ["batch", "photos", "-o", "out", "--schema", "none.json"],
        2,
        "error: schema `none.json` cannot be read: No such file or directory\nhint: give a file, or JSON in quotes\n",
    ),
    (
        ["batch", "photos", "-o", "out", "--schema", '{"properties": {"words": {"x-evidence": "texts", "const": 1}}}'],
        2,
        'error: `x-evidence = "texts"` fills an array of texts, and `$.properties.words` cannot be one\n'
        'hint: write `type = "array"` and `items = { type = "string" }`, or leave `x-evidence` out\n',
    ),
    (
        ["run", "photo-mini", "hello", "--format", '{"type": "objekt"}'],
        2,
        "error: the schema is not valid at `$.type`: 'objekt' is not valid under any of the given schemas\n",
    ),
    (
        ["run", "photo-mimi", "hello"],
        1,
        "error: model `photo-mimi` is not on this machine\n"
        "hint: did you mean `photo-mini:latest`? run `olpipe pull photo-mini:latest`\n",
    ),
    (
        ["rm", "../up"],
        2,
        "error: `../up` is not a model name\nhint: names look like `namespace/model:tag`\n",
    ),
]


@pytest.mark.parametrize(("arguments", "exit_code", "said"), COMMANDS, ids=lambda value: str(value)[:40])
def test_a_mistake_on_the_command_line_is_one_line_and_a_hint(arguments, exit_code, said, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"")
    ended = subprocess.run(
        [OLPIPE, *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (exit_code, "", said)


def test_a_traceback_is_shown_where_it_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("OLPIPE_DEBUG", "1")
    ended = subprocess.run([OLPIPE, "rm", "../up"], capture_output=True, text=True)
    assert ended.stderr.startswith("Traceback (most recent call last):\n")
    assert ended.stderr.endswith("error: `../up` is not a model name\nhint: names look like `namespace/model:tag`\n")


def test_settings_that_cannot_be_read_stop_a_command_but_not_its_help(isolated_home):
    isolated_home.mkdir()
    (isolated_home / "config.toml").write_text("threads = ")
    failed = subprocess.run([OLPIPE, "list"], capture_output=True, text=True)
    assert failed.returncode == 2
    assert failed.stderr.startswith(f"error: {isolated_home / 'config.toml'} is not valid TOML: ")
    helped = subprocess.run([OLPIPE, "--help"], capture_output=True, text=True)
    assert (helped.returncode, helped.stderr) == (0, "")


def test_misspelt_settings_are_told_once_by_the_command_that_does_not_use_them(isolated_home, monkeypatch):
    isolated_home.mkdir()
    (isolated_home / "config.toml").write_text("thread = 3\n[photo-mini]\n[photo-mimi]\n")
    monkeypatch.setenv("OLPIPE_THREAD", "3")
    ended = subprocess.run([OLPIPE, "list", "--json"], capture_output=True, text=True)
    path = isolated_home / "config.toml"
    assert (ended.returncode, ended.stdout) == (0, "[]\n")
    assert ended.stderr == (
        "warning: OLPIPE_THREAD is set, and there is no such setting; did you mean `OLPIPE_THREADS`?\n"
        f"warning: `[photo-mimi]` in {path} is the section of no installed plugin; did you mean `photo-mini`?\n"
        f"warning: `thread` in {path} is not a setting; did you mean `threads`?\n"
    )


def test_an_error_keeps_its_message_and_its_hint():
    error = OlpipeError("it broke", hint="mend it")
    assert (str(error), error.message, error.hint) == ("it broke", "it broke", "mend it")


@pytest.mark.parametrize(
    ("name", "known", "close"),
    [
        ("photo-mimi", ["photo-mini", "other"], ["photo-mini"]),
        ("CSV", ["csv", "jsonl"], ["csv"]),
        ("csv", ["CSV"], ["CSV"]),
        ("zebra", ["csv", "jsonl"], []),
        ("model", ["model1", "model2", "model3", "model4"], ["model1", "model2", "model3"]),
        ("rum", ["rm", "ruin", "run"], ["rm", "run"]),
    ],
)
def test_names_like_a_misspelt_one_are_offered(name, known, close):
    assert nearest(name, known) == close


COMMAND_NAMES = ["batch", "run", "pull", "list", "show", "cp", "rm", "plugins"]
RECIPE_KEYS = ["task", "model", "prompt", "schema", "language", "perceivers", "sinks", "max_pixels", "avoid"]
MODELS = ["phi3", "vocab", "my-model", "photo-mini", "smollm2-135m-instruct"]
LANGUAGES = ["ar", "de", "en", "es", "fr", "hi", "ja", "ko", "pt", "ru", "zh-Hans", "zh-Hant"]
FILES = ["env.sh", "coffee.jpg", "IMG_1234.jpg", "notes.txt", "模型.gguf"]

MISSPELT = [
    *(("bacth", COMMAND_NAMES, "batch"), ("batc", COMMAND_NAMES, "batch"), ("btch", COMMAND_NAMES, "batch")),
    *(("lsit", COMMAND_NAMES, "list"), ("lst", COMMAND_NAMES, "list"), ("plugs", COMMAND_NAMES, "plugins")),
    *(
        ("rnu", COMMAND_NAMES, "run"),
        ("mr", COMMAND_NAMES, "rm"),
        ("pc", COMMAND_NAMES, "cp"),
        ("shwo", COMMAND_NAMES, "show"),
    ),
    *(("puul", COMMAND_NAMES, "pull"), ("plugin", COMMAND_NAMES, "plugins"), ("batches", COMMAND_NAMES, "batch")),
    *(("promt", RECIPE_KEYS, "prompt"), ("modle", RECIPE_KEYS, "model"), ("shcmea", RECIPE_KEYS, "schema")),
    *(
        ("lang", RECIPE_KEYS, "language"),
        ("perciever", RECIPE_KEYS, "perceivers"),
        ("maxpixels", RECIPE_KEYS, "max_pixels"),
    ),
    *(
        ("my-modle", MODELS, "my-model"),
        ("mymodel", MODELS, "my-model"),
        ("phi", MODELS, "phi3"),
        ("vocabs", MODELS, "vocab"),
    ),
    *(
        ("photomini", MODELS, "photo-mini"),
        ("photo", MODELS, "photo-mini"),
        ("smollm2", MODELS, "smollm2-135m-instruct"),
    ),
    *(("photo-mini:7b", MODELS, "photo-mini"), ("smolm2-135-instuct", MODELS, "smollm2-135m-instruct")),
    *(("mini", MODELS, "photo-mini"), ("my-photo-mini", MODELS, "photo-mini"), ("model", MODELS, "my-model")),
    *(("zh-Hnas", LANGUAGES, "zh-Hans"), ("zh", LANGUAGES, None), ("ed", LANGUAGES, "de")),
    *(("cofee.jpg", FILES, "coffee.jpg"), ("coffee.jpeg", FILES, "coffee.jpg"), ("env", FILES, "env.sh")),
    *(("IMG_1243.jpg", FILES, "IMG_1234.jpg"), ("模形.gguf", FILES, "模型.gguf")),
]
NONSENSE = [
    *(("nosuch", FILES), ("nope", MODELS), ("x", COMMAND_NAMES), ("", COMMAND_NAMES), ("describe", COMMAND_NAMES)),
    *(("qqqqqq", MODELS), ("llama3", MODELS), ("gemma", MODELS), ("tiny", MODELS), ("mistral", MODELS)),
    *(("serve", COMMAND_NAMES), ("help", COMMAND_NAMES), ("stop", COMMAND_NAMES), ("push", ["pull", "show"])),
    *(
        ("temperature", RECIPE_KEYS),
        ("output", RECIPE_KEYS),
        ("name", RECIPE_KEYS),
        ("it", LANGUAGES),
        ("sv", LANGUAGES),
    ),
    *(("photos", FILES), ("holiday.jpg", FILES), ("a.png", FILES), ("xyz", ["csv", "jsonl"]), ("tsv", ["jsonl"])),
]


@pytest.mark.parametrize(("name", "known", "meant"), MISSPELT)
def test_a_name_with_a_typo_or_two_is_found(name, known, meant):
    assert nearest(name, known)[:1] == ([] if meant is None else [meant])


@pytest.mark.parametrize(("name", "known"), NONSENSE)
def test_what_is_like_no_name_is_offered_nothing(name, known):
    assert nearest(name, known) == []


@pytest.mark.parametrize("known", [COMMAND_NAMES, RECIPE_KEYS, MODELS], ids=["commands", "keys", "models"])
def test_every_single_typo_and_every_swap_in_a_name_is_found(known):
    for name in known:
        swapped = [name[:at] + name[at + 1] + name[at] + name[at + 2 :] for at in range(len(name) - 1)]
        wrong = [name[:at] + "_" + name[at + 1 :] for at in range(len(name))] if len(name) > 2 else []
        doubled = [name[:at] + name[at : at + 1] + name[at:] for at in range(len(name))]
        for typo in [*swapped, *wrong, *doubled]:
            assert name in nearest(typo, known), typo


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(2, "No such file or directory", "x.gguf"), "No such file or directory: 'x.gguf'"),
        (OSError("[Errno -2] Name or service not known"), "Name or service not known"),
        (ValueError("first\nsecond"), "first"),
        (KeyError(), "KeyError"),
    ],
)
def test_the_line_of_an_exception_has_no_number_of_the_system(error, line):
    assert errors.first_line(error) == line

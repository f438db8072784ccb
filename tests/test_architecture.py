"""The plan of the house: what may import what, and how large anything may grow.

Imports count wherever they stand: at the top, in a function, under `TYPE_CHECKING`.
"""

import ast
import statistics
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# From the ground up. A room may import rooms below it, and neighbours on its floor that do not import it.
FLOORS = (
    (
        *("olpipe", "errors", "languages", "logs", "machine", "durations", "network", "sessions", "sizes"),
        *("row_file", "row_note", "whole_file", "archives", "plugin_projects"),
    ),
    ("messages", "generation", "embedding", "tokens", "model", "image", "record", "record_columns", "settings"),
    ("row_documents", "interfaces", "hookspecs", "registry", "entry_points", "plugins"),
    ("store", "convert", "imaging", "perception", "guidance", "decoding", "families", "tagging"),
    ("engine", "asking", "describing"),
    ("pipeline", "server", "checkup", "client", "reviewing"),
    ("cli", "__main__"),
)
# Beside the house: they build on the floors up to this one, and no floor imports them.
ANNEXES = ("default_plugins", "testing")
ANNEXES_BUILD_ON = 3
STRANGERS = (("pipeline", "server"), ("server", "pipeline"), ("client", "server"), ("server", "client"))

MODULE_LINES, MEDIAN_MODULE_LINES = 400, 150
FUNCTION_LINES, P90_FUNCTION_LINES = 60, 35
PARAMETERS = 8
DRAWERS = {"utils", "util", "helpers", "common", "misc", "core", "base"}

FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def house() -> dict[str, Path]:
    """Return every module of the package by its dotted name."""
    paths = {path.relative_to(ROOT).with_suffix(""): path for path in sorted((ROOT / "olpipe").rglob("*.py"))}
    return {".".join(module.parts).removesuffix(".__init__"): path for module, path in paths.items()}


def shipped() -> list[Path]:
    """Return every module that is not a test: the package, the plugins, the benchmarks."""
    found = [path for folder in ("olpipe", "plugins", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    return sorted(path for path in found if "tests" not in path.relative_to(ROOT).parts)


def written_tests() -> list[Path]:
    return sorted([*ROOT.glob("tests/**/*.py"), *ROOT.glob("plugins/*/tests/**/*.py"), ROOT / "conftest.py"])


def line_counts(paths: list[Path]) -> dict[str, int]:
    return {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in paths}


def imports(path: Path, modules: dict[str, Path]) -> set[str]:
    """Return the modules of the package that a file imports; `from package import name` may mean either."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            wide = str(node.module)
            found.update(f"{wide}.{alias.name}" if f"{wide}.{alias.name}" in modules else wide for alias in node.names)
    return {name for name in found if name.split(".")[0] == "olpipe"}


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else module


def functions(paths: list[Path]) -> list[tuple[str, Function]]:
    """Return every function with where it stands, nested ones and methods included."""
    return [
        (f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", node)
        for path in paths
        for node in ast.walk(tree(path))
        if isinstance(node, Function)
    ]


def lines_of(function: Function) -> int:
    first = min([function.lineno, *(decorator.lineno for decorator in function.decorator_list)])
    return (function.end_lineno or first) - first + 1


def parameters(function: Function) -> list[ast.arg]:
    """Return what a caller can give: neither `self` nor `cls`; `*names` and `**options` count as one each."""
    given = function.args
    every = [*given.posonlyargs, *given.args, given.vararg, *given.kwonlyargs, given.kwarg]
    return [argument for argument in every if argument is not None and argument.arg not in ("self", "cls")]


def private_names(node: ast.AST) -> list[str]:
    """Return the private names that a node takes from another class or module; Python's own names do not count."""
    names: list[str] = []
    if isinstance(node, ast.Attribute):
        owner = node.value.id if isinstance(node.value, ast.Name) else ""
        names = [] if owner in {"self", "cls", *sys.stdlib_module_names} else [node.attr]
    elif isinstance(node, ast.ImportFrom):
        names = [alias.name for alias in node.names]
    return [name for name in names if name.startswith("_") and not name.startswith("__")]


def percentile_90(numbers: list[int]) -> int:
    return sorted(numbers)[int(0.9 * len(numbers))]


def mistakes(importer: str, imported: set[str]) -> list[str]:
    """Return the imports of a room that the plan does not allow."""
    own_floor = ANNEXES_BUILD_ON if importer in ANNEXES else FLOOR_OF[importer]
    wrong = []
    for other in sorted(imported - {importer}):
        if other in ANNEXES or FLOOR_OF[other] > own_floor or (importer, other) in STRANGERS:
            wrong.append(f"{importer} -> {other}")
    return wrong


def test_every_module_has_a_place_in_the_plan():
    assert {room(module) for module in house()} - set(FLOOR_OF) - set(ANNEXES) == set()


def test_imports_point_down():
    modules = house()
    wrong = [
        f"{module}: {mistake}"
        for module, path in modules.items()
        for mistake in mistakes(room(module), {room(name) for name in imports(path, modules)})
    ]
    assert wrong == []


def test_plugins_build_on_the_lower_floors_only():
    modules = house()
    wrong = [
        f"{path.relative_to(ROOT)}: imports {name}"
        for path in sorted(ROOT.glob("plugins/*/src/**/*.py"))
        for name in imports(path, modules)
        if FLOOR_OF.get(room(name), len(FLOORS)) > ANNEXES_BUILD_ON
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("importer", "imported", "wrong"),
    [
        ("engine", {"store", "errors", "engine"}, []),
        ("store", {"convert"}, []),
        ("store", {"engine", "errors"}, ["store -> engine"]),
        ("pipeline", {"server", "engine"}, ["pipeline -> server"]),
        ("server", {"pipeline"}, ["server -> pipeline"]),
        ("cli", {"testing"}, ["cli -> testing"]),
        ("default_plugins", {"decoding", "engine"}, ["default_plugins -> engine"]),
        ("testing", {"default_plugins"}, ["testing -> default_plugins"]),
        ("errors", {"settings"}, ["errors -> settings"]),
    ],
)
def test_the_plan_tells_right_from_wrong(importer, imported, wrong):
    assert mistakes(importer, imported) == wrong


def sort(graph: dict[str, set[str]]) -> None:
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"imports go in a circle: {' -> '.join(error.args[1])}", pytrace=False)


def test_no_modules_import_each_other():
    modules = house()
    graph = {module: imports(path, modules) - {module} for module, path in modules.items()}
    assert "olpipe.errors" in graph["olpipe.store.library"]
    sort(graph)


def test_no_rooms_import_each_other():
    modules = house()
    graph: dict[str, set[str]] = {}
    for module, path in modules.items():
        names = imports(path, modules)
        graph.setdefault(room(module), set()).update({room(name) for name in names} - {room(module)})
    sort(graph)


def test_modules_stay_short():
    lines = line_counts(shipped())
    assert {path: count for path, count in lines.items() if count > MODULE_LINES} == {}
    assert statistics.median(lines.values()) <= MEDIAN_MODULE_LINES


def test_modules_of_tests_stay_short():
    assert {path: count for path, count in line_counts(written_tests()).items() if count > MODULE_LINES} == {}


def test_functions_stay_short():
    lengths = {place: lines_of(function) for place, function in functions(shipped())}
    assert {place: length for place, length in lengths.items() if length > FUNCTION_LINES} == {}
    assert percentile_90(list(lengths.values())) <= P90_FUNCTION_LINES


def test_functions_take_few_parameters():
    counts = {place: len(parameters(function)) for place, function in functions(shipped())}
    assert {place: count for place, count in counts.items() if count > PARAMETERS} == {}


def test_every_signature_is_annotated():
    bare = [
        place
        for place, function in functions(shipped())
        if function.returns is None or any(argument.annotation is None for argument in parameters(function))
    ]
    assert bare == []


def test_no_module_is_a_drawer():
    every = [part for path in shipped() for part in path.relative_to(ROOT).with_suffix("").parts]
    assert {part for part in every if part.strip("_") in DRAWERS} == set()


def test_the_package_prints_nothing_past_its_command_line():
    prints = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in shipped()
        if path.relative_to(ROOT).parts[0] == "olpipe" or "src" in path.parts
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert prints == []


def test_no_test_reaches_into_a_private_name():
    reached = [
        f"{path.relative_to(ROOT)}:{node.lineno} {name}"
        for path in written_tests()
        for node in ast.walk(tree(path))
        for name in private_names(node)
    ]
    assert reached == []


@pytest.mark.parametrize(
    ("source", "private"),
    [
        ("engine._process", ["_process"]),
        ("from olpipe.engine import _secret", ["_secret"]),
        ("self._process", []),
        ("error.__cause__", []),
        ("loading.process", []),
    ],
)
def test_a_private_name_is_told_from_a_public_one(source, private):
    assert [name for node in ast.walk(ast.parse(source)) for name in private_names(node)] == private

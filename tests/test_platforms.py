"""What only some systems have stands behind a question for the system, in the package and in the plugins.

Which modules and names these are is read from the stubs of the standard library that mypy brings, so the list grows
with them. `mypy --platform win32`, which `.ci/run` calls, knows more: types, and what is called.
"""

import ast
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STUBS = Path(find_spec("mypy").submodule_search_locations[0]) / "typeshed/stdlib"
SHARED = ("os", "select", "signal", "socket", "time")
"""Modules that every system has, and some of whose names only some have."""


def is_of(test, system):
    """Return whether a condition of a stub holds on a system, or None where it is about something else."""
    if isinstance(test, ast.BoolOp):
        found = [is_of(part, system) for part in test.values]
        wanted = isinstance(test.op, ast.Or)
        return wanted if wanted in found else (None if None in found else not wanted)
    if isinstance(test, ast.Compare) and ast.unparse(test.left) == "sys.platform":
        return (test.comparators[0].value == system) == isinstance(test.ops[0], ast.Eq)
    return None


def defined(body, system):
    """Return the names that the statements of a stub define on a system."""
    names = set()
    for node in body:
        if isinstance(node, ast.If):
            holds = is_of(node.test, system)
            names |= defined(node.body, system) if holds in (True, None) else set()
            names |= defined(node.orelse, system) if holds in (False, None) else set()
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign):
            names.add(ast.unparse(node.target))
        elif isinstance(node, ast.Assign):
            names.update(ast.unparse(target) for target in node.targets)
        elif isinstance(node, ast.ImportFrom):
            names.update(alias.asname or alias.name for alias in node.names)
    return names


def stub(module):
    path = STUBS / f"{module}.pyi"
    return ast.parse((path if path.exists() else STUBS / module / "__init__.pyi").read_text(encoding="utf-8")).body


@cache
def rare_names():
    """Return `module.name` of what Windows lacks, or everything but Windows."""
    rare = set()
    for module in SHARED:
        body = stub(module)
        rare |= {f"{module}.{name}" for name in defined(body, "linux") ^ defined(body, "win32")}
    return rare


@cache
def rare_modules():
    """Return the modules of the standard library in which one of two systems finds nothing."""
    found = set()
    for path in STUBS.glob("[a-z]*.pyi"):
        body = [node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.If)]
        whole = stub(path.stem)
        questions = [node for node in body if is_of(node.test, "linux") is not None]
        if questions and any(not own(whole, system) for system in ("linux", "win32")):
            found.add(path.stem)
    return found


def own(body, system):
    """Return the names of a stub that are not merely imported or private."""
    kept = [node for node in body if not isinstance(node, ast.Import | ast.ImportFrom)]
    return {name for name in defined(kept, system) if not name.startswith("_")}


def asks(test):
    """Say whether a condition is about the system."""
    text = ast.unparse(test)
    return "sys.platform" in text or "os.name" in text or "hasattr(" in text


def leaves(body):
    return isinstance(body[-1], ast.Return | ast.Raise)


def unguarded(source):
    """Return what of the rare modules and names a source uses without a question for the system before."""
    found = []

    def visit(node, guarded):
        guarded = guarded or (isinstance(node, ast.IfExp) and asks(node.test))
        if not guarded:
            found.extend(rare_in(node))
        for _, value in ast.iter_fields(node):
            if isinstance(value, list):
                visit_all(value, guarded)
            elif isinstance(value, ast.AST):
                visit(value, guarded)

    def visit_all(nodes, guarded):
        for node in nodes:
            if not isinstance(node, ast.AST):
                continue
            if isinstance(node, ast.If) and asks(node.test):
                visit_all([*node.body, *node.orelse], True)
                guarded = guarded or leaves(node.body)
            elif isinstance(node, ast.Try) and any("ImportError" in ast.dump(one) for one in node.handlers):
                visit_all([*node.body, *node.handlers, *node.orelse, *node.finalbody], True)
                guarded = guarded or any(leaves(one.body) for one in node.handlers)
            else:
                visit(node, guarded)

    visit(ast.parse(source), False)
    return found


def rare_in(node):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names if alias.name in rare_modules()]
    if isinstance(node, ast.ImportFrom):
        names = [f"{node.module}.{alias.name}" for alias in node.names]
        return [node.module] if node.module in rare_modules() else [name for name in names if name in rare_names()]
    if isinstance(node, ast.Attribute) and ast.unparse(node) in rare_names():
        return [ast.unparse(node)]
    return []


def shipped():
    found = [*ROOT.glob("olpipe/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py"), *ROOT.glob("packaging/*.py")]
    return sorted(found)


def test_the_stubs_say_what_only_some_systems_have():
    assert rare_modules() >= {"fcntl", "termios", "resource", "pwd", "grp", "msvcrt", "winreg"}
    assert not rare_modules() & {"os", "socket", "signal", "subprocess", "sys", "tempfile"}
    assert rare_names() >= {"os.fork", "os.getuid", "os.sched_getaffinity", "signal.SIGHUP", "socket.AF_UNIX"}
    assert not rare_names() & {"os.replace", "os.umask", "signal.SIGINT", "signal.SIGTERM", "socket.AF_INET"}


def test_what_only_some_systems_have_stands_behind_a_question_for_the_system():
    files = shipped()
    found = {str(path.relative_to(ROOT)): unguarded(path.read_text(encoding="utf-8")) for path in files}
    assert len(files) > 400
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import fcntl", ["fcntl"]),
        ("from fcntl import ioctl", ["fcntl"]),
        ("from os import fork", ["os.fork"]),
        ("def f():\n    os.getuid()", ["os.getuid"]),
        ("if sys.platform != 'win32':\n    import fcntl", []),
        ("try:\n    import fcntl\nexcept ImportError:\n    fcntl = None", []),
        ("try:\n    import fcntl\nexcept OSError:\n    pass", ["fcntl"]),
        ("def f():\n    if os.name == 'nt':\n        return\n    os.getuid()", []),
        ("def f():\n    os.getuid()\n    if os.name == 'nt':\n        return", ["os.getuid"]),
        ("def f():\n    if os.name == 'nt':\n        g()\n    os.getuid()", ["os.getuid"]),
        ("def f():\n    if fast:\n        return\n    os.getuid()", ["os.getuid"]),
        ("n = [os.getuid() if hasattr(os, 'getuid') else 0]", []),
        ("return os.getuid() if hasattr(os, 'getuid') else 0", []),
        ("os.replace(a, b)", []),
    ],
)
def test_a_question_for_the_system_is_told_from_another_one(source, found):
    assert unguarded(source) == found

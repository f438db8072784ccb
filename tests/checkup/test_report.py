"""A report: what decides whether all is well, what to do next, and checks that fail."""

import pytest

from olpipe.checkup.general import machine_report
from olpipe.checkup.report import Report, Section, examined
from olpipe.errors import StoreError
from olpipe.plugins import Plugins
from olpipe.settings import Settings


def section(*states, commands=()):
    made = Section("a", "A")
    for state in states:
        made.add("row", "text", state)
    for command in commands:
        made.advise(command, "because")
    return made


@pytest.mark.parametrize(
    ("states", "is_well"), [((), True), (("ok", "", "note"), True), (("ok", "fail"), False), (("fail",), False)]
)
def test_only_what_keeps_models_from_running_is_not_well(states, is_well):
    assert Report((section(*states),)).is_well is is_well


def test_what_to_do_next_names_each_command_once_and_in_order():
    report = Report((section(commands=["b", "a"]), section(commands=["a", "c"])))
    assert [step.command for step in report.steps] == ["b", "a", "c"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("seven\nlines"), "could not be looked at: ValueError: seven"),
        (StoreError("`x` is damaged"), "could not be looked at: `x` is damaged"),
        (PermissionError(13, "Permission denied"), "could not be looked at: PermissionError: "),
    ],
)
def test_a_check_that_fails_says_so_and_the_others_go_on(error, said):
    def fails(found):
        found.add("first", "fine", "ok")
        raise error

    report = examined([("one", "One", fails), ("two", "Two", lambda found: found.add("second", "fine", "ok"))])
    first, second = report.sections
    assert [row.state for row in first.rows] == ["ok", "note"]
    assert first.rows[1].text.startswith(said)
    assert [row.text for row in second.rows] == ["fine"]


def test_programs_get_facts_findings_and_what_to_do():
    made = section("", "ok", commands=["olpipe list"])
    made.facts["size"] = 7
    assert Report((made,)).to_json() == {
        "well": True,
        "a": {
            "size": 7,
            "findings": [
                {"name": "row", "state": "fact", "text": "text"},
                {"name": "row", "state": "ok", "text": "text"},
            ],
        },
        "next": [{"command": "olpipe list", "reason": "because"}],
    }


def test_a_report_on_a_machine_that_tells_nothing_is_complete(isolated_home, library, tmp_path):
    settings = Settings(home=isolated_home)
    report = machine_report(settings, library, Plugins.load(settings), root=tmp_path)
    assert [made.name for made in report.sections] == [
        *("machine", "runtimes", "store", "models", "images", "server", "settings", "plugins"),
    ]
    texts = [row.text for made in report.sections for row in made.rows]
    assert [text for text in texts if text.startswith("could not be looked at")] == []

"""LangChain's standard tests of its clients for Ollama, OpenAI and Anthropic, against our server.

They run in a process of their own, as `langchain/pytest.ini` says. `langchain/standard_tests.py` names the tests of the
model's wit, which are left out: the model is real, and its weights are random.

Source: https://docs.langchain.com/oss/python/contributing/standard-tests-langchain
"""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parent / "langchain"


@pytest.fixture(scope="module")
def outcomes(server, tmp_path_factory):
    """Return how each test ended, by the classes of the tests."""
    report = tmp_path_factory.mktemp("langchain") / "report.xml"
    command = [sys.executable, "-m", "pytest", "-c", "pytest.ini", "standard_tests.py", f"--junitxml={report}"]
    environment = {**os.environ, "SERVER_URL": server.url, "LANGSMITH_TRACING": "false"}
    environment.pop("PYTEST_ADDOPTS", None)  # those are for this run only
    ended = subprocess.run(command, cwd=FOLDER, env=environment, capture_output=True, text=True)
    assert report.exists(), ended.stdout + ended.stderr
    found = {}
    for case in ElementTree.parse(report).iter("testcase"):
        result = case[0] if len(case) else None
        outcome = "passed" if result is None else "left out" if result.get("type") == "pytest.xfail" else result.tag
        found.setdefault(case.get("classname").rpartition(".")[2], {})[case.get("name")] = outcome
    return found, ended.stdout


@pytest.mark.parametrize(
    ("tests", "passed", "left_out"),
    [
        ("TestChatOllama", 33, 7),
        ("TestOllamaEmbeddings", 5, 0),
        ("TestChatOpenAI", 35, 5),
        ("TestChatAnthropic", 36, 5),
    ],
)
def test_the_standard_tests_of_a_client_pass(outcomes, tests, passed, left_out):
    found, output = outcomes
    assert {name: how for name, how in found[tests].items() if how in ("failure", "error")} == {}, output
    counts = Counter(found[tests].values())
    assert counts["passed"] >= passed
    assert counts["left out"] == left_out

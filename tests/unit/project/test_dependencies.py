"""What is installed is what was locked, and an audit that could not look anything up does not pass for one that did."""

import importlib.machinery
import importlib.util
import json
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]
LOCKS = ["requirements.lock", "requirements-dev.lock", "requirements-extras.lock"]


def entries(lock: str) -> list[str]:
    """Return each requirement of a lock file with all that belongs to it, as one line."""
    lines = [line for line in (ROOT / lock).read_text().splitlines() if not line.lstrip().startswith("#")]
    return [entry for entry in "\n".join(lines).replace("\\\n", " ").splitlines() if entry.strip()]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_is_pinned_by_version_and_hash(lock: str) -> None:
    """Nobody who takes over a package, or the way to it, gets other code in: no range, no URL, no entry unhashed."""
    found = entries(lock)
    assert len(found) > 20
    for entry in found:
        assert re.match(r"^[a-z0-9._-]+(\[[a-z0-9,-]+\])?==\S+ ", entry), entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry
        assert "://" not in entry
        assert " @ " not in entry


def test_everything_that_is_needed_is_locked() -> None:
    """A package that pyproject.toml names and the lock does not would be installed as whatever it is that day."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = {re.split(r"[\[=]", entry)[0] for entry in entries("requirements.lock")}
    needed = {re.split(r"[\[<>=!~ ]", line)[0].lower().replace("_", "-") for line in project["dependencies"]}
    assert needed <= locked


def test_the_versions_of_python_are_those_that_the_suite_runs_on() -> None:
    """What the package's page, the README and the image name is the same; CI runs the first of them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [line.rpartition(" ")[2] for line in project["classifiers"] if re.search(r":: 3\.\d+$", line)]
    assert project["requires-python"] == f">={named[0]}"
    assert re.findall(r"\b3\.1\d\b", (ROOT / "README.md").read_text()) == named
    assert re.search(r"python:(3\.\d+)-", (ROOT / "Dockerfile").read_text())[1] in named  # type: ignore[index]
    assert f"python{named[0]}" in (ROOT / ".ci" / "run").read_text()


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    """Return the program behind `make audit`."""
    loader = importlib.machinery.SourceFileLoader("audit", str(ROOT / ".ci" / "audit"))
    spec = importlib.util.spec_from_loader("audit", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


FINE = {"name": "a", "version": "1", "vulns": []}
UNKNOWN = {"name": "b", "skip_reason": "Dependency not found on PyPI"}
BAD = {"name": "c", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["2.1"]}]}


@pytest.mark.parametrize(
    ("packages", "code", "words"),
    [
        ([FINE, FINE], 0, "no known vulnerability in 2 packages"),
        ([FINE, UNKNOWN], 3, "1 of 2 packages could not be looked up (b)"),
        ([UNKNOWN, BAD], 1, "c 2: CVE-1, mended in 2.1"),
        ([], 3, "0 of 0 packages"),
        (None, 3, "the service did not answer"),
    ],
)
def test_audit_tells_unknown_from_fine(audit: ModuleType, packages: list[object] | None, code: int, words: str) -> None:
    """A known vulnerability is 1, whatever else; what could not be asked is 3; only a package looked up is fine."""
    report = "" if packages is None else json.dumps({"dependencies": packages, "fixes": []})
    found, told = audit.judge(report)
    assert found == code
    assert words in told

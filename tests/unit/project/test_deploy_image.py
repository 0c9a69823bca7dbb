"""What the Dockerfile promises of the image."""

import re
import tomllib
from importlib.metadata import requires, version
from pathlib import Path

ROOT = Path(__file__).parents[3]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
FINAL = DOCKERFILE.split("\nFROM ")[-1]
IGNORED = (ROOT / ".dockerignore").read_text().splitlines()


def test_it_has_the_version_of_the_project() -> None:
    """The label says which version is inside."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"ARG VERSION={project['version']}\n" in FINAL


def test_everything_is_installed_by_its_hash() -> None:
    """Nothing comes from the index without a hash: what runs, and what builds the wheel with all that it needs."""
    installs = re.findall(r"pip (?:--python \S+ )?install (.*?)(?: && |\nFROM|\nCOPY|$)", DOCKERFILE, flags=re.DOTALL)
    assert len(installs) == 3
    assert all("--require-hashes" in line or ("--no-deps" in line and "/dist/" in line) for line in installs)
    (pattern,) = re.findall(r"\^\(([a-z|-]+)\)==", DOCKERFILE)
    names = set(pattern.split("|"))
    lock = (ROOT / "requirements-dev.lock").read_text()
    assert all(re.search(rf"^{name}==", lock, flags=re.MULTILINE) for name in names)
    needed = {re.split(r"[^a-z0-9-]", one.lower().replace("_", "-"))[0] for one in requires("hatchling") or ()}
    assert version("hatchling")
    assert needed - {"tomli"} <= names  # tomli is for a Python that has none of its own


def test_it_does_not_run_as_root() -> None:
    """The user is a number, so that an orchestrator can see that it is not root, and no later line changes it."""
    assert re.findall(r"^USER (.*)$", FINAL, flags=re.MULTILINE) == ["10001:10001"]


def test_signals_arrive() -> None:
    """The first process passes signals on and buries orphans, and no shell stands between it and the router."""
    assert 'ENTRYPOINT ["tini", "--", "event-router"]' in FINAL
    assert "STOPSIGNAL SIGTERM" in FINAL


def test_nothing_but_the_product_is_sent_to_the_build() -> None:
    """No secret, no data and no history of the checkout can end in a layer."""
    assert IGNORED[1] == "*"
    sent = {line[1:] for line in IGNORED if line.startswith("!")}
    copied = set(re.findall(r"^COPY ((?:(?!--).)+) \S+$", DOCKERFILE, flags=re.MULTILINE))
    assert {name for line in copied for name in line.split()} == sent

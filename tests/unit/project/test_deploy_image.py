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
    assert len(installs) == 4
    hashed = ("--require-hashes", "--no-deps /dist/", "--no-index")
    assert all(any(words in re.sub(r"\s*\\\s+", " ", line) for words in hashed) for line in installs)
    assert "download --no-cache-dir --disable-pip-version-check --only-binary :all: --require-hashes" in DOCKERFILE
    (pattern,) = re.findall(r"\^\(([a-z|-]+)\)==", DOCKERFILE)
    names = set(pattern.split("|"))
    lock = (ROOT / "requirements-dev.lock").read_text()
    assert all(re.search(rf"^{name}==", lock, flags=re.MULTILINE) for name in names)
    needed = {re.split(r"[^a-z0-9-]", one.lower().replace("_", "-"))[0] for one in requires("hatchling") or ()}
    assert version("hatchling")
    assert needed - {"tomli"} <= names  # tomli is for a Python that has none of its own


def test_its_extras_are_those_of_the_project() -> None:
    """`--build-arg EXTRAS=…` installs each extra that the package has, in the versions that the tests run with."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert "\nARG EXTRAS=\n" in DOCKERFILE
    lock, tested = ((ROOT / f"requirements-{name}.lock").read_text() for name in ("extras", "dev"))
    pins, known = (
        set(re.findall(r"^[a-z0-9-]+(?:\[[a-z,]+\])?==\S+", text, flags=re.MULTILINE)) for text in (lock, tested)
    )
    assert pins <= known
    for names in extras.values():
        assert all(any(pin.startswith(f"{re.split('[>=[]', name)[0]}==") for pin in pins) for name in names)
    makefile = (ROOT / "Makefile").read_text()
    assert all(f"--extra {extra} " in makefile.split("-o requirements-extras.lock")[0] for extra in extras)


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

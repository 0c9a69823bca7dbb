"""What pip checks when it installs from a lock file, checked for all lock files on every platform, without a network.

pip takes a pin for a requirement only if the pin names the requirement's extras too. A pin that does not is accepted
for as long as it is the newest version there is: such a lock file works on the day that it is made.
"""

import importlib.metadata
import itertools
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.markers import Marker, default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[3]
LOCKS = {
    "requirements.lock": [],
    "requirements-dev.lock": ["dev", "build"],
    "requirements-extras.lock": ["otel", "parquet", "s3"],
    "requirements-lowest.lock": ["dev", "build", "otel", "parquet", "s3"],
    "benchmarks/peers/python.txt": ["python.in"],
    "benchmarks/peers/arq.txt": ["arq.in"],
    "benchmarks/peers/docket.txt": ["docket.in"],
}
"""Each lock file, with what it is made for beside what the router itself needs, or in place of that."""

BUILD = ["editables>=0.5"]  # what hatchling needs for an editable install; it does not say so

Environment = Mapping[str, str]


def _environments() -> Iterator[Environment]:
    """Yield one environment for each way in which markers tell them apart: a lock file holds on all of them."""
    pythons = ("3.11.0", "3.11.3", "3.11.7", "3.12.0", "3.13.0", "3.14.0", "3.15.0")
    systems = (("linux", "Linux", "posix"), ("darwin", "Darwin", "posix"), ("win32", "Windows", "nt"))
    interpreters = (("cpython", "CPython"), ("pypy", "PyPy"))
    for python, system, interpreter, machine in itertools.product(pythons, systems, interpreters, ("x86_64", "arm64")):
        yield {
            **{name: str(value) for name, value in default_environment().items()},
            "python_full_version": python,
            "python_version": python.rpartition(".")[0],
            "implementation_version": python,
            **dict(zip(("sys_platform", "platform_system", "os_name"), system, strict=True)),
            **dict(zip(("implementation_name", "platform_python_implementation"), interpreter, strict=True)),
            "platform_machine": machine,
        }


ENVIRONMENTS = list(_environments())


@cache
def _where(marker: str, extra: str = "") -> frozenset[int]:
    """Return the numbers of the environments in which a marker holds, for who asks for this extra."""
    if not marker:
        return frozenset(range(len(ENVIRONMENTS)))
    parsed = Marker(marker)
    return frozenset(
        number for number, environment in enumerate(ENVIRONMENTS) if parsed.evaluate({**environment, "extra": extra})
    )


class Pin(NamedTuple):
    """One pin of a lock file."""

    name: str
    extras: frozenset[str]
    version: str
    where: frozenset[int]

    @property
    def bare(self) -> str:
        """The pin as the metadata names it."""
        return f"{self.name}=={self.version}"

    def meets(self, requirement: Requirement) -> bool:
        """Return whether it is of the version that is required, and names the extras that are."""
        wanted = {canonicalize_name(extra) for extra in requirement.extras}
        named = {canonicalize_name(extra) for extra in self.extras}
        return requirement.specifier.contains(self.version, prereleases=True) and wanted <= named


def pins(text: str) -> list[Pin]:
    """Return the pins of a lock file."""
    found = re.findall(r"^([\w.-]+)(?:\[([^]]*)\])?==([^\s;\\]+)(?: ; ([^\\\n]*))?", text, re.MULTILINE)
    return [
        Pin(
            canonicalize_name(name),
            frozenset(filter(None, map(str.strip, extras.split(",")))),
            version,
            _where(marker.strip()),
        )
        for name, extras, version, marker in found
    ]


def unmet(locked: list[Pin], metadata: Mapping[str, list[str]], roots: list[str]) -> list[str]:
    """Return each requirement, of the roots and of what is locked, that no pin meets where it is needed."""
    by_name: dict[str, list[Pin]] = {}
    for pin in locked:
        by_name.setdefault(pin.name, []).append(pin)
    complaints = []
    for who, where, extras, required in [
        ("what it is made for", _where(""), frozenset[str](), roots),
        *((pin.bare, pin.where, pin.extras, metadata[pin.bare]) for pin in locked),
    ]:
        for line in required:
            requirement = Requirement(line)
            marker = str(requirement.marker or "")
            needed = where & frozenset().union(*(_where(marker, extra) for extra in ("", *extras)))
            met = (pin.where for pin in by_name.get(canonicalize_name(requirement.name), ()) if pin.meets(requirement))
            if needed - frozenset().union(*met):
                complaints.append(f"{who} requires {line}")
    return complaints


def roots(lock: str) -> list[str]:
    """Return what a lock file is made for."""
    if lock.startswith("benchmarks"):
        return (ROOT / "benchmarks" / "peers" / LOCKS[lock][0]).read_text().split()
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())
    more = {
        "dev": told["dependency-groups"]["dev"],
        "build": [*told["build-system"]["requires"], *BUILD],
        **told["project"]["optional-dependencies"],
    }
    return [*told["project"]["dependencies"], *(line for name in LOCKS[lock] for line in more[name])]


@pytest.fixture(scope="module")
def metadata() -> dict[str, list[str]]:
    """Return what each pin requires, as `make lock` wrote it down."""
    found: dict[str, list[str]] = json.loads((ROOT / ".ci" / "metadata.json").read_text())
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_a_pin_meets_each_requirement_and_names_its_extras(lock: str, metadata: dict[str, list[str]]) -> None:
    """Pip finds all that is needed among the pins, on each platform and Python, whatever is published later."""
    locked = pins((ROOT / lock).read_text())
    assert len(locked) > 5
    assert unmet(locked, metadata, roots(lock)) == []


def test_every_pin_has_its_metadata_and_nothing_else_has(metadata: dict[str, list[str]]) -> None:
    """The metadata is that of these lock files: `make lock` writes it, and whoever edits a pin by hand finds out."""
    assert {pin.bare for lock in LOCKS for pin in pins((ROOT / lock).read_text())} == set(metadata)


def test_the_metadata_is_what_the_installed_packages_say(metadata: dict[str, list[str]]) -> None:
    """What was written down is true of each pin that is installed here."""
    compared = 0
    for one in importlib.metadata.distributions():
        bare = f"{canonicalize_name(one.name)}=={one.version}"
        if bare in metadata:
            assert metadata[bare] == sorted(one.requires or ()), bare
            compared += 1
    assert compared > 50


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_file_without_extras_is_found_out(lock: str, metadata: dict[str, list[str]]) -> None:
    """The form that pip refused once a newer version was published: pins as they are without `--no-strip-extras`."""
    text = (ROOT / lock).read_text()
    stripped = re.sub(r"^([\w.-]+)\[[^]]*\]==", r"\1==", text, flags=re.MULTILINE)
    complaints = unmet(pins(stripped), metadata, roots(lock))
    named = [pin.name for pin in pins(text) if pin.extras]
    assert named
    assert [name for name in named if not any(f" requires {name}[" in complaint for complaint in complaints)] == []


def _pin(name: str, marker: str = "", *extras: str) -> Pin:
    return Pin(name, frozenset(extras), "1.0", _where(marker))


@pytest.mark.parametrize(
    ("locked", "required", "complaint"),
    [
        ([_pin("a"), _pin("b")], ["b>=1"], ""),
        ([_pin("a")], ["b>=1"], "a==1.0 requires b>=1"),
        ([_pin("a"), _pin("b")], ["b>1"], "a==1.0 requires b>1"),
        ([_pin("a"), _pin("b")], ["b[x]"], "a==1.0 requires b[x]"),
        ([_pin("a"), _pin("b", "", "x-y")], ["b[X_Y]"], ""),
        ([_pin("a")], ["b; extra == 'x'"], ""),
        ([_pin("a", "", "x")], ["b; extra == 'x'"], "a==1.0 requires b; extra == 'x'"),
        ([_pin("a"), _pin("b", "sys_platform == 'win32'")], ["b; sys_platform == 'win32'"], ""),
        ([_pin("a"), _pin("b", "sys_platform == 'win32'")], ["b"], "a==1.0 requires b"),
        ([_pin("a"), _pin("b", "python_full_version < '3.12'")], ["b; python_version < '3.11'"], ""),
        (
            [_pin("a"), _pin("b", "python_full_version < '3.12'")],
            ["b; python_version < '3.14'"],
            "a==1.0 requires b; python_version < '3.14'",
        ),
        ([_pin("a", "python_full_version < '3.12'"), _pin("b", "python_full_version < '3.12'")], ["b"], ""),
        ([_pin("a"), _pin("b", "sys_platform == 'win32'"), _pin("b", "sys_platform != 'win32'")], ["b"], ""),
    ],
)
def test_a_requirement_counts_where_it_holds(locked: list[Pin], required: list[str], complaint: str) -> None:
    """A pin must be there in each environment in which the pin that requires it is there too, and for its extras."""
    told = unmet(locked, {pin.bare: required if pin.name == "a" else [] for pin in locked}, [])
    assert told == ([complaint] if complaint else [])

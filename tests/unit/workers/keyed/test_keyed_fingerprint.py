"""What names the rule by which keys are made: workers of one rule have to agree on it, and those of two not."""

import functools
import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from workers.keyed.fingerprint import fingerprint

_RULES = """
import functools
import re

from workers.keyed.fingerprint import fingerprint


class Client:
    def key_of(self, event):
        return event.resource


def with_client(event, client=Client(), *, other=Client()):
    return client


def with_set(event, kinds=frozenset({"a", "b", "c", "d"})):
    return event.type in kinds or event.type in {"e", "f", "g", "h"}


def within(client, kinds):
    return lambda event: (client, kinds)


def twice(event, names):
    return names


rules = [
    with_client,
    with_set,
    within(Client(), frozenset({"a", "b", "c", "d"})),
    within(re.compile("a"), Client().key_of),
    Client().key_of,
    functools.partial(twice, names={"a", "b", "c", "d"}),
    functools.partial(twice, Client()),
    functools.lru_cache(with_client),
]
print([fingerprint(rule) for rule in rules])
"""


def test_all_processes_name_a_rule_alike() -> None:
    """What differs from process to process, as where an object is or how a set is ordered, makes no other rule."""
    named = {
        subprocess.run(
            [sys.executable, "-c", _RULES],
            env={"PYTHONHASHSEED": str(seed), "PYTHONPATH": os.pathsep.join(sys.path)},
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout
        for seed in (1, 2, 3)
    }
    assert len(named) == 1
    assert named.pop().count(":") == 8


def _first(number: int) -> Callable[[str], str]:
    return lambda text: text[:number]


def _by(inner: Callable[[str], str]) -> Callable[[str], str]:
    @functools.wraps(inner)
    def outer(text: str) -> str:
        return inner(text)

    return outer


def _upper(text: str) -> str:
    return text.upper()


def _lower(text: str) -> str:
    return text.lower()


def _filled(memo: dict[str, str]) -> Callable[[str], str]:
    return lambda text: memo.setdefault(text, text)


def _endless() -> Callable[[str], str]:
    def again(text: str) -> str:
        return again(text[1:]) if text else ""

    return again


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (_first(2), _first(3)),
        (_by(_upper), _by(_lower)),
        (functools.lru_cache(_upper), functools.lru_cache(_lower)),
        (functools.partial(print, ["a"]), functools.partial(print, ["b"])),
        (functools.partial(print, end={"a": 1}), functools.partial(print, end={"a": 2})),
    ],
    ids=["closure", "decorated", "cached", "list", "dict"],
)
def test_what_a_function_has_with_it_is_of_its_rule(one: Callable[..., str], other: Callable[..., str]) -> None:
    """Two functions of the same code are two rules where they were made of other values or of other functions."""
    assert fingerprint(one) != fingerprint(other)


def test_what_a_function_fills_is_not_of_its_rule() -> None:
    """A memory that the function has is empty in one worker and full in another; and one may call itself."""
    assert fingerprint(_filled({})) == fingerprint(_filled({"a": "b"}))
    assert fingerprint(_endless()) == fingerprint(_endless())

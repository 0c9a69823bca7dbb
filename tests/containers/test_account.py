"""The account that ends the proof: it finds each kind of wrong, and nothing where there is none."""

from collections.abc import Mapping
from typing import Any

import pytest
from containers.account import Account

IDS = ("one", "two", "three")
RIGHT: Mapping[str, Any] = {
    "sent": IDS,
    "acknowledged": IDS,
    "stored": IDS,
    "handled": {"one": 1, "two": 2},
    "dead": ("three",),
}


def test_nothing_is_wrong() -> None:
    """What was acknowledged is stored once, and handled or dead; handled again is told, and no promise broken."""
    account = Account(**RIGHT)
    assert account.complaints() == []
    assert account.figures()["handled more than once"] == 1


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"acknowledged": IDS[:2]}, "sent and never acknowledged: 1, such as three"),
        ({"stored": IDS[:2]}, "acknowledged and not stored: 1, such as three"),
        ({"stored": (*IDS, "one")}, "stored more than once: 1, such as one"),
        ({"dead": ()}, "acknowledged, and neither handled nor dead: 1, such as three"),
        ({"handled": {"one": 1, "two": 1, "nobody's": 1}}, "handled, and never sent: 1, such as nobody's"),
        ({"refused": ["502 "]}, "refused: 1, such as 502 "),
    ],
)
def test_what_is_wrong_is_found(wrong: Mapping[str, Any], complaint: str) -> None:
    """One id at the wrong place is found, though all totals may be as they should."""
    assert Account(**{**RIGHT, **wrong}).complaints() == [complaint]

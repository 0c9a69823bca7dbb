"""Schemas: what is learnt of a type, what is reported as a change, and above all what is not."""

import json
from collections.abc import Callable, Iterable
from random import Random
from typing import Any

import msgspec
import pytest

from config.settings import DriftSettings
from workers.drift.schema import MOST, Change, Schema
from workers.drift.shape import shape_of

SETTINGS = DriftSettings(learn=200)
Make = Callable[[Random], dict[str, Any]]


class Traffic:
    """Notifications of a type from several companies, as a sender of today sends them, and what they changed."""

    def __init__(self, companies: int = 6, settings: DriftSettings = SETTINGS) -> None:
        self.schema = Schema()
        self.random = Random(7)
        self._companies = companies
        self._settings = settings
        self.send(settings.learn)

    def send(
        self, number: int, change: Callable[[dict[str, Any]], object] = lambda _: None, companies: Iterable[int] = ()
    ) -> list[Change]:
        """Send notifications, each changed like that; return what was reported."""
        chosen = [*companies] or range(self._companies)
        found: list[Change] = []
        for _ in range(number):
            item = self.item(self.random.choice(list(chosen)))
            change(item)
            shape = shape_of(json.dumps(item).encode())
            assert shape is not None
            found += self.schema.learn(shape, str(item["companyId"]), 1, self._settings)
        return found

    def item(self, company: int) -> dict[str, Any]:
        """Return one notification: with an optional field, a rare one, and one that only company 0 sends."""
        item: dict[str, Any] = {"id": str(self.random.random()), "companyId": str(company), "ticks": 5}
        item["documentStatus"] = self.random.choice([None, "Balanced"])
        if self.random.random() < 0.5:
            item["note"] = "x"
        if self.random.random() < 0.03:
            item["void"] = {"by": "x"}
        if company == 0:
            item["customField"] = 1
        return item


def without(name: str) -> Callable[[dict[str, Any]], object]:
    """Return what takes a field away."""
    return lambda item: item.pop(name, None)


def test_a_new_field_is_reported_once() -> None:
    """A field that the sender adds is reported when several had it, and not again."""
    traffic = Traffic()
    assert traffic.send(100, lambda item: item.update(region="north")) == [Change("new", "region", "text")]
    assert traffic.send(500, lambda item: item.update(region="north")) == []


def test_fields_within_others() -> None:
    """Fields within objects and lists are fields, too; where one comes or goes with what it is in, that is reported."""
    traffic = Traffic()

    def add(item: dict[str, Any], **more: int) -> None:
        item.update(lines=[{"sku": 1, "tax": {"rate": 1}}], place={"city": "x", **more})

    assert {change.path for change in traffic.send(300, add)} == {"lines", "place"}
    traffic.send(2000, add)
    assert [change.path for change in traffic.send(100, lambda item: add(item, zip=1))] == ["place.zip"]
    gone = traffic.send(100)
    assert {(change.kind, change.path) for change in gone} == {("missing", "lines"), ("missing", "place")}


def test_a_missing_field_is_reported_once_and_when_it_is_back() -> None:
    """A field that every notification had is missing after a row without it, absent or null, until it comes again."""
    for change in (without("ticks"), lambda item: item.update(ticks=None)):
        traffic = Traffic()
        assert traffic.send(300, change) == [Change("missing", "ticks", was=("number",))]
        assert traffic.send(300) == [Change("back", "ticks", "number")]


def test_a_field_of_another_type_is_reported_once() -> None:
    """A number that becomes a text is a change; going back is none, since both are known then."""
    traffic = Traffic()
    changed = traffic.send(100, lambda item: item.update(ticks="5"))
    assert changed == [Change("changed", "ticks", "text", ("number",))]
    assert traffic.send(200) == []


def test_a_renamed_field_is_both() -> None:
    """A field under another name is a missing one and a new one."""

    def rename(item: dict[str, Any]) -> None:
        item["Ticks"] = item.pop("ticks")

    kinds = {(change.kind, change.path) for change in Traffic().send(200, rename)}
    assert kinds == {("missing", "ticks"), ("new", "Ticks")}


def test_one_company_alone_makes_no_alarm() -> None:
    """What only one of several companies begins to send, or to leave out, is its own affair."""
    traffic = Traffic()
    assert traffic.send(600, lambda item: item["companyId"] == "3" and item.update(own=1)) == []
    assert traffic.send(600, lambda item: item["companyId"] == "3" and item.pop("ticks")) == []
    assert traffic.send(600, lambda item: item["companyId"] == "0" and item.pop("customField", None)) == []


def test_a_quiet_company_makes_no_alarm() -> None:
    """Where the company that sends a field is quiet, as at night, the field is not missing."""
    traffic = Traffic()
    assert traffic.send(500, companies=[1, 2, 3, 4, 5]) == []
    assert traffic.send(500, companies=[4]) == []


def test_one_company_in_all_is_all() -> None:
    """Where there is only one company, its changes are the type's."""
    traffic = Traffic(companies=1)
    assert [change.kind for change in traffic.send(100, lambda item: item.update(region=1))] == ["new"]
    gone = traffic.send(100, lambda item: (item.update(region=1), item.pop("ticks")))
    assert [(change.kind, change.path) for change in gone] == [("missing", "ticks")]


def test_nothing_is_reported_before_a_type_is_learnt() -> None:
    """While a type is learnt everything belongs to it."""
    traffic = Traffic()
    traffic.schema = Schema()
    assert traffic.send(199, lambda item: item.update({f"f{traffic.random.randrange(5)}": 1})) == []
    assert not traffic.schema.is_learnt(SETTINGS)


@pytest.mark.parametrize(("usual", "expected"), [(0.95, []), (0.8, [("missing", "mostly")])])
def test_how_usual_a_field_must_be(usual: float, expected: list[tuple[str, str]]) -> None:
    """A field that was lacking in one of ten notifications at first is missed only where that is set to be usual."""
    traffic = Traffic(settings=DriftSettings(learn=200, usual=usual))
    traffic.schema = Schema()
    rare = iter([True] * 40)
    traffic.send(300, lambda item: None if next(rare, False) else item.update(mostly=1))
    known = traffic.schema.fields["mostly"]
    known.lacked, known.first = 0, 0
    assert [(change.kind, change.path) for change in traffic.send(60)] == expected


def test_false_alarms() -> None:
    """In half a year of a calm sender, with rare fields, bursts of them and nights, nothing is reported."""
    traffic, random = Traffic(companies=8), Random(3)
    found: list[Change] = []
    for day in range(120):
        # a burst of a rare status, of one company; a month's end with its own fields, rarely, of all
        found += traffic.send(100)
        found += traffic.send(30, lambda item: item.update(void={"by": "x"}), companies=[random.randrange(8)])
        found += traffic.send(60, companies=[random.randrange(8)])
        if day % 30 == 29:
            found += traffic.send(10, lambda item: random.random() < 0.1 and item.update(closing=True))
    assert found == []
    assert traffic.send(100, lambda item: item.update(region="north")) == [Change("new", "region", "text")]


def test_names_without_end() -> None:
    """Names that are made up each time neither grow what is kept, nor report, nor keep a real change unseen."""
    traffic = Traffic()
    made = iter(range(10**9))

    def invent(item: dict[str, Any]) -> None:
        item["byId"] = {f"id{next(made)}": 1 for _ in range(250)}

    assert [change.path for change in traffic.send(60, invent)] == ["byId"]
    assert len(traffic.schema.fields) <= MOST
    assert traffic.schema.left_out > 10_000
    size = len(msgspec.json.encode(traffic.schema))
    assert size < 60_000
    assert [change.path for change in traffic.send(200, lambda item: (invent(item), item.update(region=1)))] == [
        "region"
    ]
    assert len(msgspec.json.encode(traffic.schema)) < 60_000
    gone = traffic.send(100, without("ticks"))
    assert {(change.kind, change.path) for change in gone} == {
        ("missing", name) for name in ("ticks", "byId", "region")
    }


def test_names_without_end_from_the_start() -> None:
    """Where a type has such names while it is learnt, they leave when it is."""
    traffic = Traffic()
    traffic.schema = Schema()
    made = iter(range(10**9))
    traffic.send(200, lambda item: item.update({f"id{next(made)}": 1 for _ in range(5)}))
    assert traffic.schema.fields.keys() >= {"id", "companyId", "ticks"}
    assert len(traffic.schema.fields) < 20


def test_what_is_kept_can_be_read_again() -> None:
    """What is written down is all that is known."""
    traffic = Traffic()
    again = msgspec.json.decode(msgspec.json.encode(traffic.schema), type=Schema)
    assert again == traffic.schema

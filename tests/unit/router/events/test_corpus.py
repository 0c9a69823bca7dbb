"""Every body of the corpus: cut and judged as its index says, normalised, and shown by whatever shows events."""

import json
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from support.cli import Cli
from support.corpus import Case, load_corpus
from support.filling import FINANCIAL, put_quarantined

from router.cli.output.results import print_record
from router.cli.output.rows import event_json, quarantined_json
from router.cloudevents import from_cloudevent, to_cloudevent_json
from router.events.catalogue import Catalogue
from router.events.event import Event
from router.events.identify import Identified, Unreadable, identify
from router.events.normalise import normalise
from router.store.client import Store
from workers.operations.quarantined import Quarantined

NOW = datetime(2025, 10, 22, tzinfo=UTC)
HEADER = "x-vwd-notification-id"
BEARABLE = 3.0
"""Seconds of processor time for which one body may keep ingress from all others."""

stored = [case for case in load_corpus() if case.status == 202]
"""Those that are not refused before they are read."""


def identified(catalogue: Catalogue, case: Case) -> list[Identified | Unreadable]:
    """Return the items of a case."""
    return identify(catalogue, FINANCIAL, case.body, case.headers.get(HEADER))


def event_of(catalogue: Catalogue, item: Identified) -> Event:
    """Return the event that a worker would see."""
    return normalise(catalogue, item.stream, item.id, item.raw, NOW)


def test_the_index_and_the_folder_agree() -> None:
    """Every file is in the index, no name is there twice, and every case says what it is and what becomes of it."""
    cases = load_corpus()
    names = [case.name for case in cases]
    folder = Path(__file__).parents[3] / "corpus" / "bodies"
    assert len(set(names)) == len(names)
    assert {file.name for file in folder.iterdir()} <= set(names)
    assert all(case.what for case in cases)


@pytest.mark.parametrize("case", stored, ids=str)
def test_each_item_is_what_the_index_says(catalogue: Catalogue, case: Case) -> None:
    """Each item is of the stream, or unreadable for the reason, that the index names; its id is as it should be."""
    started = time.thread_time()
    items = identified(catalogue, case)
    assert time.thread_time() - started < BEARABLE
    found = [item.stream.partition("/")[2] if isinstance(item, Identified) else item.reason for item in items]
    assert tuple(found) == case.expect
    ids = [item.id for item in items if isinstance(item, Identified)]
    for expected, id_ in zip(case.ids, ids, strict=False):
        assert id_.startswith("sha256:") if expected == "digest" else id_ == expected


@pytest.mark.parametrize("case", stored, ids=str)
def test_each_event_is_read_by_everybody(catalogue: Catalogue, case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    """What was taken for an event is normalised, valid by its own model, and can be written in every form there is."""
    events = [event_of(catalogue, item) for item in identified(catalogue, case) if isinstance(item, Identified)]
    for event in events[:400]:
        assert Event.model_validate(event.model_dump()) == event
        assert from_cloudevent(to_cloudevent_json(event)) == event
        for reveal in (False, True):
            json.dumps(event_json(event, reveal=reveal), ensure_ascii=False).encode()
            print_record(event_json(event, reveal=reveal))
    if case.event:
        dumped = events[0].model_dump(mode="json")
        assert {name: dumped[name] for name in case.event} == case.event
    assert not [c for c in capsys.readouterr().out if not c.isprintable() and c != "\n"]


@pytest.mark.parametrize("case", stored, ids=str)
def test_what_is_quarantined_can_be_shown(catalogue: Catalogue, case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    """What is no event is shown with its bytes, and commands no terminal."""
    for item in identified(catalogue, case)[:400]:
        if isinstance(item, Unreadable):
            found = Quarantined("1-0", FINANCIAL, "sha256:0", NOW, item.reason, item.raw)
            for reveal in (False, True):
                row = quarantined_json(found, reveal=reveal)
                json.dumps(row, ensure_ascii=False).encode()
                print_record(row)
    assert not [c for c in capsys.readouterr().out if not c.isprintable() and c != "\n"]


def test_the_commands_show_all_of_it(cli: Cli, catalogue: Catalogue) -> None:
    """`events list|show` and `quarantine list|show` take a store that holds the whole corpus, in tables and as JSON."""
    items = [(case, item) for case in stored for item in identified(catalogue, case)[:30]]
    events = {item.stream + item.id: item for _, item in items if isinstance(item, Identified)}.values()
    others = [item for _, item in items if isinstance(item, Unreadable)]
    cli.fill(partial(_put, list(events), others))
    listed = cli.json("events", "list")
    assert len(listed) == len(events)
    cli.ok("events", "list", "--limit", "100000")
    quarantined = cli.json("quarantine", "list")
    assert len(quarantined) == len(others)
    cli.ok("quarantine", "list", "--limit", "100000")
    for event in listed[::40]:
        assert event["id"] == json.loads(cli.ok("events", "show", "--json", "--", event["id"]))["id"]
        cli.ok("events", "show", "--", event["id"])
    for row in quarantined[::20]:
        assert cli.json("quarantine", "show", row["entry_id"]) == row
        cli.ok("quarantine", "show", row["entry_id"])


async def _put(events: list[Identified], others: list[Unreadable], store: Store) -> None:
    for item in events:
        await store.client.xadd(
            store.keys.events(item.stream), {"id": item.id, "at": 1_760_000_000_000, "raw": item.raw}
        )
    for item in others:
        await put_quarantined(store, item.raw, reason=item.reason)

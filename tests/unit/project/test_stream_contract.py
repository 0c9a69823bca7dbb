"""What docs/streams.md and the files beside it promise to readers in other languages is what the code does."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from random import Random
from typing import Any

import pytest
from support.corpus import load_corpus
from support.docs import DOCS
from support.json_schema import faults_of, resolve

from router.events.catalogue import Catalogue
from router.events.event import Event
from router.events.identify import Identified, identify
from router.events.samples import body, sample
from router.store import record
from router.store.keys import Keys

AT = 1_762_162_200_000
CUSTOMERS = "visma-net-financial/customer_changed"
PAGE = (DOCS / "streams.md").read_text(encoding="utf-8")
CONSUMERS = {
    "csharp": ("csharp/Program.cs", r'entry\["(\w+)"\]', r"\bstring\?? (\w+)(?=[,)])"),
    "go": ("go/main.go", r'entry\.Values\["(\w+)"\]', r'json:"(\w+)"'),
    "php": ("php/consumer.php", r"\$fields\['(\w+)'\]", r"\$event\['(\w+)'\]"),
    "typescript": ("typescript/consumer.ts", r"message\.(\w+)", r"\bevent\.(\w+)"),
}
"""For each language the file, and what its field of an entry and its members of the event look like."""

DEEPEST = 65

_TEXTS = """
id publisher type wire_event entity action resource resource_path resource_id company_id tenant_id occurred_at
received_at document_status erp_event user_id api_client_id connect_id
"""
PROMISED = dict.fromkeys(_TEXTS.split(), "string") | {"ticks": "integer", "scheduled": "boolean", "extra": "object"}
"""The members of the event that the contract began with, and their types: only ever added to."""


@cache
def _file(name: str) -> Any:
    return json.loads((DOCS / "streams" / name).read_text(encoding="utf-8"))


def _entry(item: Identified) -> dict[str, str]:
    """Return the fields of the entry that ingress writes."""
    parts = [part.decode() if isinstance(part, bytes) else str(part) for part in record.event_fields(item, AT)]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def _event(item: Identified) -> Any:
    return json.loads(_entry(item)["event"])


def _sample(catalogue: Catalogue, stream: str) -> Identified:
    sent = sample(catalogue, stream, Random(stream), datetime.fromtimestamp(AT / 1000, UTC))
    [item] = identify(catalogue, stream.partition("/")[0], body([sent]), None)
    assert isinstance(item, Identified)
    return item


def _identified(catalogue: Catalogue) -> Iterator[tuple[str, Identified]]:
    for case in load_corpus():
        for item in identify(catalogue, "visma-net-financial", case.body, None):
            if isinstance(item, Identified):
                yield case.name, item


def _depth(value: Any) -> int:
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if below is None else 1 + max(map(_depth, below), default=0)


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from ([value["$ref"]] if "$ref" in value else [])
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _references(each)


def test_the_schema_describes_each_event_of_the_catalogue(catalogue: Catalogue) -> None:
    """The `event` that ingress writes of a sample of each type is as the schema says, and of that type."""
    every = Catalogue.load(on_demand=True)
    assert set(every.streams()) > set(catalogue.streams())
    for stream in every.streams():
        event = _event(_sample(every, stream))
        assert faults_of(_file("event.schema.json"), event) == [], stream
        assert f"{event['publisher']}/{event['type']}" == stream


def test_the_schema_describes_what_no_sender_should_send(catalogue: Catalogue) -> None:
    """The `event` of each body of the corpus that is one is as the schema says, and no deeper than the page says."""
    events = {name: _event(item) for name, item in _identified(catalogue)}
    assert len(events) > 100
    for name, event in events.items():
        assert faults_of(_file("event.schema.json"), event) == [], name
    assert max(map(_depth, events.values())) == DEEPEST
    assert f"up to {DEEPEST} levels deep" in PAGE


def test_the_schema_has_each_member_and_refuses_what_is_none(catalogue: Catalogue) -> None:
    """Every field of the model is in it but those beside it in the entry; null, another type and a gap are refused."""
    schema = _file("event.schema.json")
    event = _event(_sample(catalogue, CUSTOMERS))
    assert set(schema["properties"]) == set(Event.model_fields) - {"raw", "hints"}
    assert event.keys() >= set(schema["required"])
    for name in schema["required"]:
        assert faults_of(schema, {key: value for key, value in event.items() if key != name}), name
    for name in schema["properties"]:
        for wrong in (None, [], 1.5):
            assert faults_of(schema, {**event, name: wrong}), name
    assert faults_of(schema, {**event, "received_at": "2025-11-03 09:30"})
    assert faults_of(schema, {**event, "of_a_later_version": None}) == []


def test_what_was_promised_stays() -> None:
    """No member of the event and no field of an entry that readers rely on is removed, renamed or of another type."""
    members = {name: form["type"] for name, form in _file("event.schema.json")["properties"].items()}
    assert PROMISED.items() <= members.items()
    assert {"id", "publisher", "type", "wire_event", "received_at"} <= set(_file("event.schema.json")["required"])
    fields = _file("asyncapi.json")["components"]["schemas"]["entry"]["properties"]
    assert {"id", "at", "event", "raw", "hints", "trace"} <= fields.keys()


def test_the_asyncapi_document_refers_to_what_is_there() -> None:
    """Every reference in it leads somewhere, and every operation to a message of its channel."""
    document = _file("asyncapi.json")
    assert document["asyncapi"] == "3.0.0"
    found = list(_references(document))
    assert len(found) > 200
    for reference in found:
        assert resolve(document, reference), reference
    for operation in document["operations"].values():
        [message] = operation["messages"]
        assert message["$ref"].startswith(operation["channel"]["$ref"] + "/messages/")


def test_the_asyncapi_document_has_each_stream_of_the_catalogue(catalogue: Catalogue) -> None:
    """There is a channel and an operation for each stream; its parameters make its address the stream's key."""
    document = _file("asyncapi.json")
    channels = {channel["title"]: channel for channel in document["channels"].values()}
    assert list(channels) == list(catalogue.streams())
    assert len(document["operations"]) == len(channels)
    for stream, channel in channels.items():
        values = {
            name: (resolve(document, one["$ref"]) if "$ref" in one else one)["default"]
            for name, one in channel["parameters"].items()
        }
        assert channel["address"].format(**values) == channel["x-redis-key"] == Keys().events(stream)


def test_the_asyncapi_document_describes_the_entries_of_ingress(catalogue: Catalogue) -> None:
    """Its example is an entry as ingress writes it, and every entry is as its message says, with all its fields."""
    document = _file("asyncapi.json")
    [message] = document["components"]["messages"].values()
    entries = [example["payload"] for example in message["examples"]]
    entries += [_entry(_sample(catalogue, stream)) for stream in catalogue.streams()]
    for entry in entries:
        assert faults_of(message["payload"], entry, document) == []
    schema = resolve(document, message["payload"]["$ref"])
    assert set(entries[0]) == set(schema["properties"]) - {"hints", "trace", "generation"}
    assert faults_of(message["payload"], {**entries[0], "event": "{}"}, document)
    assert schema["properties"]["event"]["contentSchema"] == {"$ref": "#/components/schemas/event"}
    event = {key: value for key, value in _file("event.schema.json").items() if not key.startswith("$")}
    assert document["components"]["schemas"]["event"] == event


def test_the_page_names_the_fields_of_an_entry() -> None:
    """The table of fields has each that an entry of a stream may hold, and no other."""
    _, _, table = PAGE.partition("## An entry")
    named = re.findall(r"^\| `(\w+)` \|", table.partition("##")[0], re.MULTILINE)
    assert sorted(named) == sorted(_file("asyncapi.json")["components"]["schemas"]["entry"]["properties"])


@pytest.mark.parametrize("language", CONSUMERS)
def test_each_consumer_names_what_the_code_names(language: str) -> None:
    """A consumer has the key of the stream, a group of its own, and fields and members that there are."""
    file, fields, members = CONSUMERS[language]
    text = (DOCS / "streams" / "consumers" / file).read_text(encoding="utf-8")
    assert f"streams/consumers/{file}" in PAGE
    assert re.findall(r"['\"](er:[^'\"]*)['\"]", text) == [Keys().events(CUSTOMERS)]
    assert re.findall(r"(?i:group)\s*=\s*['\"]([^'\"]*)['\"]", text) == [f"crm-{language}"]
    assert re.findall(fields, text) == [record.EVENT.decode()]
    read = {re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower() for name in re.findall(members, text)}
    assert read == {"id", "type", "resource", "company_id"} & _file("event.schema.json")["properties"].keys()
    assert len(read) == 4

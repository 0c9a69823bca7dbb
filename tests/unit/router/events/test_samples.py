"""Rules of samples: each is read as the event it is a sample of, and looks like what is really sent."""

import json
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest

from router.events.catalogue import Catalogue, UnknownStream
from router.events.event import Event
from router.events.identify import Identified, identify
from router.events.normalise import normalise
from router.events.samples import body, sample

NOW = datetime(2025, 10, 30, 15, 5, 57, 790123, tzinfo=UTC)
STREAMS = Catalogue.load().streams()
FINANCIAL = "visma-net-financial"


def read(catalogue: Catalogue, stream: str, item: dict[str, Any]) -> Event:
    """Identify and normalise an item, which must be of this stream."""
    [found] = identify(catalogue, stream.partition("/")[0], body([item]), None)
    assert isinstance(found, Identified)
    assert found.stream == stream
    return normalise(catalogue, stream, found.id, found.raw, NOW)


@pytest.mark.parametrize("stream", STREAMS)
def test_sample_of_every_stream(catalogue: Catalogue, stream: str) -> None:
    """A sample of a stream is identified to be of that stream, with an id and a time of its own."""
    item = sample(catalogue, stream, Random(1), NOW)
    event = read(catalogue, stream, item)
    assert event.stream == stream
    assert event.occurred_at == NOW
    assert len(event.id) == 36
    assert event.company_id
    assert event.tenant_id
    assert item == sample(catalogue, stream, Random(1), NOW)
    assert event.id != read(catalogue, stream, sample(catalogue, stream, Random(2), NOW)).id


@pytest.mark.parametrize(
    ("stream", "wire_name"),
    [
        (f"{FINANCIAL}/customer_changed", "customer_changed"),
        (f"{FINANCIAL}/inventory_item_changed", "inventoryitem_changed"),
        (f"{FINANCIAL}/ar_invoice_changed", "customerinvoice_changed"),
        (f"{FINANCIAL}/customer_updated", "Customer_Updated"),
        (f"{FINANCIAL}/inventory_item_created", "InventoryItem_Created"),
        (f"{FINANCIAL}/background_api_operation_response_ready", "BACKGROUND_API_RESPONSE"),
        ("visma-net-erp-salesorderservice/salesorder_created", "SALESORDER_CREATED"),
        ("visma-net-journal-transaction/voucher_received", "VOUCHER_RECEIVED"),
    ],
)
def test_wire_names(catalogue: Catalogue, stream: str, wire_name: str) -> None:
    """The event's name is spelt as its publisher spells it."""
    assert sample(catalogue, stream, Random(1), NOW)["event"] == wire_name


def test_dialects(catalogue: Catalogue) -> None:
    """Changed and Updated come in their own dialects, and say the same."""
    changed = sample(catalogue, f"{FINANCIAL}/customer_changed", Random(1), NOW)
    updated = sample(catalogue, f"{FINANCIAL}/customer_updated", Random(1), NOW)
    assert {"NotificationId", "contextId", "relativeResourceUri", "IsScheduler"} <= set(changed)
    assert {"notificationId", "companyId", "entityLocation", "ischeduler"} <= set(updated)
    assert isinstance(changed["timeStamp"], int)
    assert isinstance(updated["timeStamp"], str)


def test_what_an_event_tells(catalogue: Catalogue) -> None:
    """A status change has a status, a failure its reason, an answer in the background where it is to be fetched."""
    status = read(catalogue, s := f"{FINANCIAL}/shipment_status_changed", sample(catalogue, s, Random(1), NOW))
    assert status.document_status
    failed = sample(catalogue, "visma-net-journal-transaction/voucher_document_synchronization_failed", Random(1), NOW)
    assert {"refNumber", "errorMessage"} <= set(failed)
    answer = sample(catalogue, f"{FINANCIAL}/background_api_operation_response_ready", Random(1), NOW)
    assert {"reference", "statusCode", "stateLocation", "contentLocation"} <= set(answer)


def test_body() -> None:
    """One item is sent as an object, several as an array."""
    assert json.loads(body([{"a": 1}])) == {"a": 1}
    assert json.loads(body([{"a": 1}, {"b": 2}])) == [{"a": 1}, {"b": 2}]
    assert body([]) == b"[]"


@pytest.mark.parametrize("stream", ["acme/thing", f"{FINANCIAL}/customer", FINANCIAL, ""])
def test_unknown_stream(catalogue: Catalogue, stream: str) -> None:
    """There is no sample of a stream that does not exist."""
    with pytest.raises(UnknownStream, match="no such stream"):
        sample(catalogue, stream, Random(1), NOW)


def test_publisher_of_an_operator(tmp_path: Path) -> None:
    """A publisher with names of its own gets samples that are read as its events, too."""
    signature = '[signature]\nscheme = "hmac-sha256"\nencoding = "base64"\nheader = "x"\n'
    event = '[[events]]\ntype = "{}"\nentity = "thing"\naction = "changed"\ndescription = "x"\n'
    head = 'slug = "{}"\nname = "x"\n'
    (tmp_path / "acme.toml").write_text(
        head.format("acme")
        + '[dialect]\nevent = ["kind"]\nnotification_id = ["messageid"]\ncompany_id = ["client"]\n'
        + signature
        + event.format("made")
    )
    service = "visma-net-journal-transaction"
    (tmp_path / f"{service}.toml").write_text(head.format(service) + signature + event.format("thing_changed"))
    catalogue = Catalogue.load(tmp_path)
    made = sample(catalogue, "acme/made", Random(1), NOW)
    assert made["kind"] == "MADE"
    event = read(catalogue, "acme/made", made)
    assert event.id == made["messageid"]
    assert event.company_id == made["client"]
    assert event.extra.keys() == {"entityId"}
    for stream in catalogue.select("acme/*", f"{service}/*"):
        read(catalogue, stream, sample(catalogue, stream, Random(1), NOW))

"""The short form of the fuzz, and whether it would notice."""

from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest
from fuzz import normaliser, wire
from fuzz.audit import Audit
from fuzz.failure import Failure, load
from fuzz.mutate import Mutator, small
from fuzz.requests import Answer, Exchange, Requests, sign, whole
from fuzz.responses import responses
from fuzz.trail import Trail
from support.corpus import load_corpus
from support.stores import fake_store

from router.events import identify
from router.events.catalogue import Catalogue
from router.store.client import Store

SEED = 1
BODY = b'{"event":"customer_changed","notificationId":"a"}'
FOUND = b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n"
DOCUMENT = b'{"accepted": 1, "duplicates": 0, "quarantined": 0}'


def test_thousands_of_bodies_keep_the_rules() -> None:
    """Whatever a body holds, it is read without an error, and what is made of it can be stored and shown."""
    normaliser.fuzz(2500, SEED)


@pytest.mark.real
async def test_a_thousand_exchanges_keep_the_rules(tmp_path: Path) -> None:
    """Whatever is written to its port, a real ingress answers well-formed HTTP, stores what is signed, and lives."""
    await wire.fuzz(tmp_path, 1500, SEED)


# Would it notice?


def test_the_same_seed_makes_the_same_cases() -> None:
    """A case is made from its seed and its number, so that a failure can be had again."""
    bodies = small(case.body for case in load_corpus())
    one, same, other = (Requests(seed, b"secret", bodies) for seed in (1, 1, 2))
    assert [one.make(number) for number in range(50)] == [same.make(number) for number in reversed(range(50))][::-1]
    assert one.make(3) != other.make(3)
    assert {one.make(number).answer for number in range(50)} == set(Answer)


def test_a_case_that_fails_is_kept_and_can_be_tried_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A fault that some bodies meet is found, and the file that is written has such a body in it."""
    read_object = identify.read_object

    def faulty(raw: bytes) -> dict[str, object]:
        item = read_object(raw)
        if "erpEvent" in item:
            raise ZeroDivisionError
        return item

    monkeypatch.setattr(identify, "read_object", faulty)
    with pytest.raises(Failure, match="ZeroDivisionError") as caught:
        normaliser.fuzz(5000, SEED)
    kept = load(caught.value.save(tmp_path / "new"))
    assert (kept.target, kept.seed, kept.number) == ("normaliser", SEED, caught.value.number)
    catalogue = Catalogue.load()
    with pytest.raises(ZeroDivisionError):
        normaliser.check(catalogue, frozenset(catalogue.streams()), kept.data)
    monkeypatch.undo()
    normaliser.check(catalogue, frozenset(catalogue.streams()), kept.data)


def test_a_new_step_through_the_code_is_noticed_once() -> None:
    """Only what takes a step that nothing took before is new."""
    catalogue, trail = Catalogue.load(), Trail([str(identify.__file__)])

    def found(body: bytes) -> bool:
        return trail.is_new(lambda: identify.identify(catalogue, normaliser.PUBLISHER, body, None))

    assert [found(body) for body in (BODY, BODY, b"[]", b"[]", b"[", BODY)] == [True, False, True, False, True, False]


def test_what_was_kept_is_mutated_further() -> None:
    """A body that was new is a starting point for others."""
    mutator = Mutator(Random(SEED), [b"{}"])
    mutator.keep(b'{"an unheard-of key":1}')
    assert any(b"unheard-of" in mutator.next() for _ in range(50))


@pytest.mark.parametrize(
    "data",
    [
        FOUND + DOCUMENT[:-1],
        FOUND + DOCUMENT + b"x",
        FOUND.replace(b"HTTP/1.1", b"HTTP/2.0") + DOCUMENT,
        FOUND.replace(b"\r\n", b"\n") + DOCUMENT,
        FOUND.replace(b"application/json", b"text/plain") + DOCUMENT,
        FOUND.replace(b"202 Accepted", b"500 Oops") + DOCUMENT,
        FOUND.replace(b"202 Accepted", b"503 Later") + DOCUMENT,
        FOUND.replace(b"202 Accepted", b"400 Bad") + DOCUMENT,
        FOUND.replace(b"\r\n\r\n", b"\r\nX: a\r\nX: b\r\n\r\n") + DOCUMENT,
        FOUND + DOCUMENT.replace(b"accepted", b"excepted"),
    ],
)
def test_an_answer_that_is_not_as_it_should_be_is_noticed(data: bytes) -> None:
    """Half an answer, one too much, another version, type or status, or another document is a failure."""
    with pytest.raises((AssertionError, KeyError, ValueError)):
        list(responses(data))


def test_good_answers_are_read() -> None:
    """Answers behind each other are read one by one, and that of a HEAD without a body."""
    assert [response.status for response in responses(FOUND + DOCUMENT + FOUND + DOCUMENT)] == [202, 202]
    assert [response.status for response in responses(FOUND, bodiless=True)] == [202]


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    """Yield an empty store."""
    async with fake_store() as found:
        yield found


@pytest.mark.parametrize("wrong", ["nothing", "missing", "twice", "forged", "no quarantine", "another key"])
async def test_a_store_that_is_not_as_it_should_be_is_noticed(store: Store, wrong: str) -> None:
    """An event that is missing, there twice or signed by nobody is a failure, and so is any other key."""
    audit, keys = Audit(store), store.keys
    for body in (BODY, b"no JSON"):
        audit.expect(Exchange(whole(body, sign(b"s", body)), (body,), Answer.STORED))
    events = keys.events("visma-net-financial/customer_changed")
    entry = {"id": "a", "raw": BODY}
    for _ in range({"missing": 0, "twice": 2}.get(wrong, 1)):
        await store.client.xadd(events, entry)
    if wrong == "forged":
        await store.client.xadd(events, {"id": "b", "raw": b"{}"})
    if wrong != "no quarantine":
        quarantined = {"id": "x", "raw": b"no JSON", "reason": "not valid JSON"}
        await store.client.xadd(keys.quarantine("visma-net-financial"), quarantined)
    if wrong == "another key":
        await store.client.set(f"{keys.prefix}:{{x}}:surprise", "1")
    if wrong == "nothing":
        await audit.check()
    else:
        with pytest.raises(AssertionError):
            await audit.check()

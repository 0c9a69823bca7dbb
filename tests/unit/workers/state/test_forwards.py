"""What the store holds of forwards."""

from datetime import UTC, datetime

from router.store.client import Store
from workers.state.forwards import Deferral, LastExchange, last_exchanges, note_exchanges

AT = datetime(2026, 3, 1, tzinfo=UTC)


async def test_what_is_written_is_read(store: Store) -> None:
    """A forward is read as it was written, with and without an exchange, and with what its receiver puts off."""
    deferral = Deferral(AT, AT.replace(hour=1), "the receiver answered 503")
    given = [
        LastExchange("a", "a.example", "raw"),
        LastExchange("b", "b.example", "cloudevents", AT, "503", 0.1, deferral),
    ]
    await note_exchanges(store, given)
    assert [*(await last_exchanges(store)).values()] == given


async def test_what_others_wrote(store: Store) -> None:
    """An entry of an earlier version has five parts, of a later one more; of what is none nothing is known."""
    last = b'"h.example","raw",1772323200000,"200",0.25'
    texts = {b"old": b"[%b]" % last, b"new": b'[%b,0,0,"","more"]' % last, b"wrong": b'{"host": 1}', b"other": b"\xff"}
    await store.client.hset(store.keys.forwards(), mapping=texts)
    found = await last_exchanges(store)
    assert found["old"] == LastExchange("old", "h.example", "raw", AT, "200", 0.25)
    assert found["new"] == LastExchange("new", "h.example", "raw", AT, "200", 0.25)
    assert [found[name] for name in ("other", "wrong")] == [LastExchange(name, "", "") for name in ("other", "wrong")]

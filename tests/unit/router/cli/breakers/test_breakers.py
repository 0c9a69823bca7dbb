"""`breakers list|show`: which targets are down, and for how long."""

from support.cli import Cli
from support.filling import put_breaker

from router.store.client import Store


async def fill(store: Store) -> None:
    """Have one target be down, and one whose breaker is closed; of a third there is rubbish."""
    await put_breaker(store, "crm")
    await put_breaker(store, "erp")
    await store.client.hset(store.keys.breaker("erp"), mapping={"opened": "0", "failures": "0"})
    await put_breaker(store, "rubbish")
    await store.client.hset(store.keys.breaker("rubbish"), mapping={"opened": "x", "failures": "1e99", "last": b"\xff"})


def test_list(cli: Cli) -> None:
    """Each breaker is shown with its state, since when, and why; rubbish counts as nothing."""
    assert "no handler has used one yet" in cli.run("breakers", "list").output
    assert cli.json("breakers", "list") == []
    cli.fill(fill)
    crm, erp, rubbish = cli.json("breakers", "list")
    assert (crm["name"], crm["state"], crm["failures"], crm["reason"]) == ("crm", "open", 1, "status 503")
    assert crm["since"] == crm["failed_at"] < crm["probe_at"]
    assert (erp["state"], erp["failed_at"], erp["reason"], erp["probe_at"]) == ("closed", None, "", None)
    assert (rubbish["state"], rubbish["failed_at"]) == ("closed", None)
    assert "status 503" in cli.ok("breakers", "list")


def test_show(cli: Cli) -> None:
    """One breaker is shown by itself; an unknown one is said to be unknown."""
    cli.fill(fill)
    assert cli.json("breakers", "show", "crm")["state"] == "open"
    assert "status 503" in cli.ok("breakers", "show", "crm")
    assert "there is no breaker 'x'" in cli.fails(3, "breakers", "show", "x")


def test_it_is_seen_elsewhere(cli: Cli) -> None:
    """`top` names what is down, and `doctor` warns of it."""
    cli.fill(fill)
    shown = cli.json("top", "--once", "--interval", "0.1")
    assert [breaker["name"] for breaker in shown["down"]] == ["crm"]
    assert "down: crm for" in cli.ok("top", "--once", "--interval", "0.1")

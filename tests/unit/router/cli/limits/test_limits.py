"""`limits list|show`: how the quotas stand that workers share."""

from support.cli import Cli
from support.filling import put_limit

from router.store.client import Store


async def fill(store: Store) -> None:
    """Have two limits used, one of them by two companies."""
    await put_limit(store, "visma", "t/7", 2)
    await store.client.hset(store.keys.quota("visma", "t/8"), mapping={"limit": "9", "left": "x", "reset": "1"})
    await store.client.zadd(store.keys.limited("visma"), {"t/8": 1_760_000_000_000})
    await put_limit(store, "crm", "", 5)
    await store.client.hset(store.keys.quota("crm", ""), mapping={"closed": "4000000000000"})


def test_list(cli: Cli) -> None:
    """Each limit is shown with how many of its quotas wait."""
    assert "no handler has used one yet" in cli.run("limits", "list").output
    assert cli.json("limits", "list") == []
    cli.fill(fill)
    crm, visma = cli.json("limits", "list")
    assert crm == {"name": "crm", "workers": 1, "subjects": 1, "waiting": 1}
    assert visma == {"name": "visma", "workers": 1, "subjects": 2, "waiting": 1}
    assert "visma" in cli.ok("limits", "list")


def test_show(cli: Cli) -> None:
    """Each quota is shown with its state; what is not known is said, and rubbish counts as nothing."""
    cli.fill(fill)
    first, second = cli.json("limits", "show", "visma")["quotas"]
    assert (first["subject"], first["state"], first["limit"], first["left"]) == ("t/7", "used up", 2, 0)
    assert first["resets_at"] > first["used_at"]
    assert (second["subject"], second["state"], second["limit"], second["left"]) == ("t/8", "unknown", None, None)
    [refused] = cli.json("limits", "show", "crm")["quotas"]
    assert (refused["state"], refused["closed_until"]) == ("refused", "2096-10-02T07:06:40.000Z")
    assert "used up" in cli.ok("limits", "show", "visma")
    assert "all" in cli.ok("limits", "show", "crm")
    assert "there is no limit 'x'" in cli.fails(3, "limits", "show", "x")


def test_a_fixed_rate_is_known_between_windows(cli: Cli) -> None:
    """After its window a limit with a fixed rate has its whole quota left: the next begins with the next call."""

    async def over(store: Store) -> None:
        await put_limit(store, "crm", "", 5)
        await store.client.hset(store.keys.quota("crm", ""), mapping={"reset": "1", "left": "0"})

    cli.fill(over)
    (quota,) = cli.json("limits", "show", "crm")["quotas"]
    assert (quota["state"], quota["limit"], quota["left"], quota["resets_at"]) == ("open", 5, 5, None)

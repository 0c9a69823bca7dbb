"""`incidents list|mute|unmute`: what goes wrong, and what nobody wants to hear of."""

from support.cli import Cli
from support.filling import put_incident

from router.store.client import Store
from workers.incidents import Incidents

SUBJECT = "visma-net-financial/7"


async def fill(store: Store) -> None:
    """Have one incident last, and another be over."""
    await put_incident(store, "dead", "sync")
    await Incidents(store).end("dead", "sync", over=1_768_208_400_000)
    await put_incident(store)


def test_list(cli: Cli) -> None:
    """Each incident that lasts is shown, with what to do about its kind."""
    assert "there is no incident" in cli.run("incidents", "list").output
    assert cli.json("incidents", "list") == []
    cli.fill(fill)
    assert cli.json("incidents", "list") == [
        {
            "kind": "silence",
            "subject": SUBJECT,
            "since": "2026-01-12T08:00:00.000Z",
            "over": None,
            "what": f"Nothing has come from {SUBJECT} since 2026-01-12 08:00 UTC.",
            "do": "Look.",
            "command": "event-router doctor",
        }
    ]
    shown = cli.run("incidents", "list").output
    assert "Nothing has come from" in shown
    assert "silence: Look. `event-router doctor`" in shown


def test_past(cli: Cli) -> None:
    """The last notices say what began and what was over, the newest first."""
    assert "nothing was said so far" in cli.run("incidents", "list", "--past", "9").output
    cli.fill(fill)
    found = cli.json("incidents", "list", "--past", "9")
    assert [(one["kind"], one["over"]) for one in found] == [
        ("silence", None),
        ("dead", "2026-01-12T09:00:00.000Z"),
        ("dead", None),
    ]
    assert len(cli.json("incidents", "list", "--past", "1")) == 1
    assert "OVER" in cli.ok("incidents", "list", "--past", "9")


def test_mute_and_unmute(cli: Cli) -> None:
    """What is muted is listed no more, until it is unmuted; the audit says who did that, and why."""
    assert "nothing is muted" in cli.run("incidents", "list", "--muted").output
    cli.fill(fill)
    assert "until it is unmuted" in cli.ok("incidents", "mute", "silence", SUBJECT, "--reason", "left us")
    assert cli.json("incidents", "list") == []
    assert {"kind": "silence", "subject": SUBJECT, "until": None} in cli.json("incidents", "list", "--muted")
    assert "unmuted" in cli.ok("incidents", "list", "--muted")
    lasting = cli.json("incidents", "mute", "silence", SUBJECT, "--for", "1h")
    assert lasting["until"] is not None
    assert cli.json("incidents", "unmute", "silence", SUBJECT) == {
        "kind": "silence",
        "subject": SUBJECT,
        "was_muted": True,
    }
    assert "is not muted" in cli.fails(3, "incidents", "unmute", "silence", SUBJECT)
    lines = cli.json("audit")
    assert [line["verb"] for line in lines if line["changed"]] == [
        "incidents unmute",
        "incidents mute",
        "incidents mute",
    ]
    assert (lines[-1]["subject"], lines[-1]["reason"]) == (f"silence {SUBJECT}", "left us")

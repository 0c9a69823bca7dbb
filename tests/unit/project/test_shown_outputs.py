"""Outputs that pages show are those of the code, so that a reader who tries a command finds what the page promises."""

import json
import re
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from support.cli import Cli

from router.store.client import Store
from workers.incidents import Incidents
from workers.notify.mail import mail_of
from workers.notify.message import Notice, compose
from workers.notify.webhook import json_of
from workers.silence import texts
from workers.silence.ledger import Silence

DOCS = Path(__file__).parents[3] / "docs"
MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC")


def shown(page: str, language: str) -> str:
    """Return the one block of a language that a page has."""
    [block] = re.findall(rf"^```{language}\n(.*?)^```", (DOCS / page).read_text(), re.DOTALL | re.MULTILINE)
    return str(block)


def test_a_message_says_what_its_page_shows() -> None:
    """The incident of docs/notify.md, as a mail has it."""
    since = int(datetime(2026, 11, 30, 13, 2, tzinfo=UTC).timestamp() * 1000)
    incident = texts.silence(Silence("visma-net-financial", since, after=3 * 3600))
    zone = ZoneInfo("Europe/Oslo")
    message = compose("ops", [Notice("1-0", since, incident)], now=since, fresh=86_400, zone=zone)
    assert message is not None
    mail = mail_of(message, "er@example.com", ["ops@example.com"], datetime.now(UTC))
    assert shown("notify.md", "text").split() == mail.get_content().split()


def test_a_webhook_gets_what_its_page_shows() -> None:
    """The incident of docs/notify.md once it is over, as a receiver of HTTP gets it: the same names and figures."""
    example = json.loads(shown("notify.md", "json"))
    [told] = example["data"]["incidents"]
    began, over = (int(datetime.fromisoformat(told[name]).timestamp() * 1000) for name in ("since", "over"))
    incident = replace(texts.silence(Silence(told["subject"], began, after=3 * 3600)), over=over)
    message = compose("ops", [Notice("1-0", over, incident)], now=over, fresh=86_400, zone=ZoneInfo("UTC"))
    assert message is not None
    got = json.loads(json_of(message))
    got["id"], got["data"]["incidents"][0]["what"], got["data"]["incidents"][0]["do"] = "notice-1f…", "…", "…"
    assert got == example


def test_incidents_are_listed_as_their_page_shows_it(cli: Cli) -> None:
    """The incident of docs/silence.md, as `incidents list` prints it, but for the time."""
    since = int((time.time() - 50 * 3600) * 1000)

    async def fill(store: Store) -> None:
        await Incidents(store).open(texts.silence(Silence("visma-net-financial/7", since, after=None)))

    cli.fill(fill)
    command, _, printed = shown("silence.md", "console").partition("\n")
    result = cli.run(*command.removeprefix("$ event-router ").split())
    assert MOMENT.sub("", printed) == MOMENT.sub("", result.stdout + result.stderr)

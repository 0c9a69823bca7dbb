"""Rules of how each channel writes a message: within its bounds, and so that nothing in it is read as its markup."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from workers.incidents.incident import Incident
from workers.notify.mail import mail_of
from workers.notify.message import Message, Notice, compose, sample
from workers.notify.slack import blocks_of
from workers.notify.teams import card_of
from workers.notify.webhook import json_of

NOW = 1_796_000_000_000
EVIL = "<!channel> <https://evil.example|x> [x](https://evil.example) *b* _i_ ~s~ `c` <b>&amp;</b> customer_changed"


def message_of(text: str, number: int = 1, over: int | None = None) -> Message:
    """Return a message in which every text of each incident is the same."""
    notices = [
        Notice(f"{n}-0", NOW, Incident("silence", f"{n} {text}", NOW - 60_000, text, text, text, over))
        for n in range(number)
    ]
    message = compose("ops", notices, NOW, zone=ZoneInfo("UTC"), fresh=86_400)
    assert message is not None
    return message


def texts_of(value: Any) -> Iterator[tuple[str, str]]:
    """Yield each text of a JSON value with the kind of the object that has it."""
    if isinstance(value, dict):
        if isinstance(value.get("text"), str):
            yield str(value.get("type")), value["text"]
        for inner in value.values():
            yield from texts_of(inner)
    if isinstance(value, list):
        for inner in value:
            yield from texts_of(inner)


def read_mail(message: Message) -> EmailMessage:
    """Return the mail as a mailbox reads it."""
    mail = mail_of(message, "router@example.com", ("ops@example.com", "boss@example.com"), datetime.now(UTC))
    return message_from_bytes(mail.as_bytes(), policy=default)  # type: ignore[return-value]


def test_teams_gets_an_adaptive_card() -> None:
    """The workflow gets one card in a message, with all that there is to say."""
    body = json.loads(card_of(message_of("Nothing came.", over=NOW)))
    [attachment] = body["attachments"]
    assert (body["type"], attachment["contentType"]) == ("message", "application/vnd.microsoft.card.adaptive")
    card = attachment["content"]
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    said = [text for _, text in texts_of(card)]
    assert said[1:] == [
        "Over: silence of 0 Nothing came.",
        "Nothing came.",
        "From 2026-11-30 00:52 UTC to 2026-11-30 00:53 UTC: it lasted 1 min",
    ]


def test_what_is_over_asks_for_nothing() -> None:
    """Each channel says what to do while an incident lasts, and nothing of that once it is over."""
    for over, is_said in ((None, True), (NOW, False)):
        message = message_of("Nothing came.", over=over)
        for text in (card_of(message).decode(), blocks_of(message).decode(), str(read_mail(message).get_content())):
            assert ("What to do: Nothing came." in text) is is_said


def test_teams_reads_no_markdown() -> None:
    """Every text is a run, which shows what it holds; no TextBlock, whose text would be read, is there."""
    body = json.loads(card_of(message_of(EVIL)))
    assert {kind for kind, _ in texts_of(body)} == {"TextRun"}
    assert "evil" not in body["attachments"][0]["content"]["fallbackText"], "a client too old for cards reads Markdown"
    assert any(text == EVIL for _, text in texts_of(body))


def test_slack_gets_blocks() -> None:
    """The webhook gets sections, and a text for where blocks are not shown."""
    body = json.loads(blocks_of(message_of("Nothing came.")))
    assert body["text"] == "Began: silence of 0 Nothing came."
    assert [block["type"] for block in body["blocks"]] == ["section", "section"]
    assert "What to do: Nothing came.\n```Nothing came.```" in body["blocks"][1]["text"]["text"]


def test_slack_reads_no_markup() -> None:
    """Nothing of an incident calls anyone, is a link, or is bold, italic, struck or code; names stay as they are."""
    body = json.loads(blocks_of(message_of(EVIL)))
    for text in (body["text"], *(text for _, text in texts_of(body["blocks"]))):
        assert "<" not in text
        assert ">" not in text
        assert "&amp;amp;" in text or "evil" not in text
    section = body["blocks"][1]["text"]
    assert section["verbatim"] is True
    what = section["text"].split("\n")[1]
    assert not set("*~`") & set(what)
    assert "_i_" not in what
    assert "customer_changed" in what


@pytest.mark.parametrize("text", ["&" * 5000, "ø" * 5000, "\N{PILE OF POO}" * 5000, '"\\' * 5000, "</b>" * 5000])
def test_every_channel_keeps_to_its_bounds(text: str) -> None:
    """However long the texts are, and whatever becomes of them in the channel, it takes the message."""
    message = message_of(text, 200)
    assert len(card_of(message)) <= 28_000
    slack = blocks_of(message)
    assert len(slack.decode()) <= 13_000
    assert all(len(section) <= 3000 for _, section in texts_of(json.loads(slack)["blocks"]))
    assert len(json.loads(slack)["blocks"]) <= 50
    assert len(json_of(message)) <= 100_000
    assert max(map(len, read_mail(message).as_bytes().split(b"\n"))) <= 998


def test_what_was_left_out_is_counted() -> None:
    """A channel that takes fewer incidents says how many more there are."""
    body = json.loads(blocks_of(message_of("&" * 400, 30)))
    reported = sum(":red_circle:" in block["text"]["text"] for block in body["blocks"])
    assert f"{30 - reported} more" in body["blocks"][-1]["text"]["text"]
    assert 0 < reported < 10


def test_webhook_gets_json() -> None:
    """A receiver gets the facts with times in UTC, and the texts."""
    body = json.loads(json_of(message_of("Nothing came.", over=NOW)))
    assert body["type"] == "event-router.incidents"
    assert body["data"]["incidents"] == [
        {
            "state": "over",
            "kind": "silence",
            "subject": "0 Nothing came.",
            "since": "2026-11-30T00:52:20.000Z",
            "over": "2026-11-30T00:53:20.000Z",
            "seconds": 60.0,
            "what": "Nothing came.",
            "do": "Nothing came.",
            "command": "Nothing came.",
        }
    ]


def test_mail_is_plain_text() -> None:
    """A mail has the whole text, one id for one message, and says that no person wrote it."""
    message = message_of("Nothing came.", 12)
    mail = read_mail(message)
    assert (mail["From"], mail["To"]) == ("router@example.com", "ops@example.com, boss@example.com")
    assert mail["Subject"] == "[event-router] Incidents: 12 began"
    assert mail["Message-ID"] == f"<{message.id}@example.com>"
    assert (mail["Auto-Submitted"], mail.get_content_type()) == ("auto-generated", "text/plain")
    text = mail.get_content().replace("\r\n", "\n")
    assert "Began: silence of 9 Nothing came." in text
    assert "What to do: Nothing came.\n\n    Nothing came." in text
    assert "2 more (silence 2)." in text


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\u2028", "\x85", "\x0b"])
def test_mail_takes_no_header_from_an_incident(end: str) -> None:
    """No end of a line in an incident begins a header, nor ends the head."""
    mail = read_mail(message_of(f"p/1{end}Bcc: x@evil.example{end}{end}<b>hello</b>"))
    assert set(mail.keys()) == {
        *("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted"),
        *("Content-Type", "Content-Transfer-Encoding", "MIME-Version"),
    }
    assert mail.get_content_type() == "text/plain"


def test_samples_can_be_written_by_each() -> None:
    """The sample of `notify test` is a message like others."""
    message = sample("ops", NOW, ZoneInfo("UTC"))
    for body in (card_of(message), blocks_of(message), json_of(message), read_mail(message).as_bytes()):
        assert b"Test of the notifier ops" in body

"""Rules of what `doctor` says of notifiers."""

import re
from pathlib import Path

import pytest

from config.notify import NotifySettings
from config.silence import SilenceSettings
from router.cli.doctor.notify_checks import judge_notified, judge_notifiers, judge_silence
from router.events.catalogue import Catalogue
from workers.incidents import KINDS
from workers.notify.state import NotifierState


def mail(**more: object) -> NotifySettings:
    """Return a notifier by mail."""
    values = {"host": "mail.example.com", "sender": "a@example.com", "to": ["b@example.com"], **more}
    return NotifySettings(name="ops", kind="smtp", **values)  # type: ignore[arg-type]


def chat(url: str) -> NotifySettings:
    """Return a notifier of Teams."""
    return NotifySettings(name="ops", kind="teams", url=url)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "state", "words"),
    [
        (chat("https://prod-1.logic.azure.com/needle"), "ok", "teams to prod-1.logic.azure.com, of *"),
        (chat("https://contoso.webhook.office.com/webhookb2/needle"), "warning", "connector, which are retired"),
        (chat("https://10.0.0.1/needle"), "failed", "notify 'ops': "),
        (mail(), "ok", "smtp to b@example.com, of *"),
        (mail(starttls=False), "warning", "without encryption"),
        (mail(starttls=False, host="localhost"), "ok", "smtp to b@example.com"),
        (mail(incidents=["silense", "dead"]), "warning", "no incident is of a kind like silense"),
        (mail(incidents=["archive", "dr*", "gone"]), "ok", "of archive, dr*, gone"),
        (mail(ca_file=Path("/nowhere/ca.pem")), "failed", "ca_file=/nowhere/ca.pem"),
    ],
)
def test_each_is_judged(settings: NotifySettings, state: str, words: str) -> None:
    """What cannot work, what is retired and what can be read on the way is said, by name, without a URL."""
    [check] = judge_notifiers([settings])
    assert (check.name, check.state) == ("notifier ops", state)
    assert words in check.detail
    assert "needle" not in f"{check.detail}{check.advice}"


def test_one_that_is_not_heard_is_warned_of() -> None:
    """The store says what its messages ended in."""
    states = [NotifierState(mail()), NotifierState(mail(), 7, failures=3, error="mail.example.com:587: no answer")]
    [check] = judge_notified(states)
    assert check.state == "warning"
    assert "3 times, never taken so far): mail.example.com:587: no answer" in check.detail
    assert "notify test ops" in check.advice


def test_times_of_publishers_that_are_none(catalogue: Catalogue) -> None:
    """A time of its own for a publisher that is none means nothing: a typo is said, and one that is off is none."""
    own = {"vizma-net-financial/7": "off", "visma-net-financial/7": "off", "business-nxt": "4h", "visma": "4h"}
    (check,) = judge_silence(SilenceSettings.model_validate({"own": own}), catalogue)
    assert (check.state, check.detail) == ("warning", "silence.own names visma, vizma-net-financial: no such publisher")
    assert "business-nxt, visma-net-erp-salesorderservice" in check.advice
    assert [*judge_silence(SilenceSettings(), catalogue)] == []


def test_the_kinds_are_those_of_the_page() -> None:
    """Each kind that an incident can be of is in the table of docs/silence.md, and no other."""
    page = (Path(__file__).parents[5] / "docs" / "silence.md").read_text()
    table = page.partition("| kind | subject |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == KINDS

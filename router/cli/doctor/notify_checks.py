"""Whether anybody hears of incidents: what the settings say of each notifier, and how it fares."""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Final
from urllib.parse import urlsplit

from config.errors import ConfigError
from config.notify import NotifySettings
from config.publishers import load_publishers
from config.silence import SilenceSettings
from router.cli.output.results import age
from router.events.catalogue import Catalogue
from router.store.health.judgement import Check
from router.store.reading import moment_at
from workers.incidents import KINDS
from workers.notify.opening import channel_of
from workers.notify.state import NotifierState, place_of

__all__ = ["judge_notified", "judge_notifiers", "judge_silence"]

_RETIRED: Final = ("webhook.office.com", "outlook.office.com")
"""The hosts of the connectors of Office 365."""


def judge_silence(settings: SilenceSettings, catalogue: Catalogue) -> Iterator[Check]:
    """Warn of times of their own for publishers that are none."""
    known = {*catalogue.publishers, *(publisher.slug for publisher in load_publishers(on_demand=True))}
    if unknown := sorted({subject.partition("/")[0] for subject in settings.own} - known):
        detail = f"silence.own names {', '.join(unknown)}: no such publisher"
        yield Check("silence", "warning", detail, f"there are {', '.join(sorted(known))}")


def judge_notifiers(notifiers: Sequence[NotifySettings]) -> Iterator[Check]:
    """Say of each notifier whether it can be used; nothing where the settings name none."""
    for settings in notifiers:
        name = f"notifier {settings.name}"
        try:
            channel_of(settings)
        except ConfigError as error:
            yield Check(
                name, "failed", str(error), "correct that setting: docs/notify.md; workers do not start with it"
            )
        else:
            yield _judge(name, settings)


def judge_notified(states: Sequence[NotifierState]) -> Iterator[Check]:
    """Warn of notifiers whose messages are not taken."""
    for each in states:
        if each.failures:
            since = f", taken last {age(moment_at(each.sent_at))} ago" if each.sent_at else ", never taken so far"
            detail = f"its messages are not taken ({each.failures} times{since}): {each.error}"
            advice = f"event-router notify test {each.settings.name} shows the exchange; notices wait until it works"
            yield Check(f"notifier {each.settings.name}", "warning", detail, advice)


def _judge(name: str, settings: NotifySettings) -> Check:
    host = urlsplit(settings.url.get_secret_value()).hostname or "" if settings.url else ""
    if host.endswith(_RETIRED):
        detail = "its URL is one of an Office 365 connector, which are retired"
        return Check(name, "warning", detail, "make a webhook in the Workflows app of Teams: docs/notify.md")
    if settings.kind == "smtp" and not settings.is_encrypted and not settings.is_local:
        detail = f"mails go to {settings.host} without encryption: they can be read on the way"
        return Check(name, "warning", detail, "set starttls or tls")
    if nothing := [glob for glob in settings.incidents if not any(fnmatchcase(kind, glob) for kind in KINDS)]:
        detail = f"no incident is of a kind like {', '.join(nothing)}"
        return Check(name, "warning", detail, f"there are {', '.join(sorted(KINDS))}")
    return Check(name, "ok", f"{settings.kind} to {place_of(settings)}, of {', '.join(settings.incidents)}")

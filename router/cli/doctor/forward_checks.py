"""Whether what is forwarded arrives: what the settings say of each forward, and what the store knows of it."""

from collections.abc import Iterator

from config.errors import ConfigError
from config.settings import Settings
from router.cli.output.results import age, number_of
from router.events.catalogue import Catalogue
from router.store.health.judgement import Check
from workers.forward.making import check_forwards
from workers.operations.forwards import ForwardState

__all__ = ["judge_forward", "judge_forwards"]


def judge_forwards(settings: Settings, catalogue: Catalogue) -> Iterator[Check]:
    """Say of each forward of the settings whether it can run; nothing where they name none."""
    for forward in settings.forward:
        name = f"forward {forward.name}"
        try:
            [subscription] = check_forwards(settings.model_copy(update={"forward": (forward,)}), catalogue)
        except ConfigError as error:
            yield Check(name, "failed", str(error), "correct that setting: docs/forward.md")
            continue
        streams = number_of(len(catalogue.select(*subscription.events)), "event type")
        secrets = number_of(len(forward.secrets), "secret")
        yield Check(name, "ok", f"{streams} to {forward.host}, signed with {secrets}")


def judge_forward(forward: ForwardState) -> Check | None:
    """Say what an operator should do about a forward; None where there is nothing."""
    name = f"forward {forward.name}"
    if forward.is_gone and forward.pause is not None:
        found = f"{forward.host} answered 410 Gone {age(forward.pause.since)} ago: its events wait"
        return Check(name, "warning", found, f"event-router subscriptions resume {forward.name}, once it takes events")
    if forward.state == "stopped":
        return Check(name, "warning", "no process runs it: its events wait", "start `event-router forward`")
    if forward.state == "deferred" and forward.deferral is not None:
        found = f"{forward.host} puts events off {forward.deferral.text()}"
        return Check(name, "warning", found, "look whether the receiver is overloaded; `limit` keeps to a quota of it")
    return None

"""The commands on events, each in a module of its own, in the order of the help."""

from router.cli import capture
from router.cli.events import listing as events
from router.cli.events import replay as events_replay
from router.cli.events import show as events_show
from router.cli.events import tail as events_tail

__all__ = ["COMMANDS"]

COMMANDS = {
    "list": events.list_,
    "show": events_show.show,
    "tail": events_tail.tail,
    "replay": events_replay.replay,
    "capture": capture.capture_event,
}

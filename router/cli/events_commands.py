"""The commands on events, each in a module of its own, in the order of the help."""

from router.cli import capture, events, events_replay, events_show, events_tail

__all__ = ["COMMANDS"]

COMMANDS = {
    "list": events.list_,
    "show": events_show.show,
    "tail": events_tail.tail,
    "replay": events_replay.replay,
    "capture": capture.capture_event,
}

"""The commands on the quarantine, each in a module of its own, in the order of the help."""

from router.cli import capture, quarantine, quarantine_change

__all__ = ["COMMANDS"]

COMMANDS = {
    "list": quarantine.list_,
    "show": quarantine.show,
    "retry": quarantine_change.retry,
    "purge": quarantine_change.purge,
    "capture": capture.capture_quarantined,
}

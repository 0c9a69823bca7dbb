"""The commands on the quarantine, each in a module of its own, in the order of the help."""

from router.cli import capture
from router.cli.quarantine import change as quarantine_change
from router.cli.quarantine import reading as quarantine

__all__ = ["COMMANDS"]

COMMANDS = {
    "list": quarantine.list_,
    "show": quarantine.show,
    "retry": quarantine_change.retry,
    "purge": quarantine_change.purge,
    "capture": capture.capture_quarantined,
}

"""All commands on dead letters, each in a module of its own, in the order of the help."""

from router.cli import dlq_change, dlq_export, dlq_import, dlq_watch
from router.cli.dlq import app

__all__ = ["app", "dlq_change", "dlq_export", "dlq_import", "dlq_watch"]

"""Ready to use: prints one readable line for every event of every publisher.

It ends as a tool in a pipe does: when nobody reads its output any more, or that cannot be written, it gives its events
back and the worker ends. A reader that pauses is waited for.
"""

import sys

from config.errors import RouterError
from workers import Event, Subscription
from workers.outcomes import WorkerMustEnd

__all__ = ["events", "line"]

events = Subscription("log-events", events=["*"], concurrency=1, timeout=None)


@events.handler
def log(event: Event) -> None:
    """Print the event; flushed, so that it shows at once in a pipe or a container's log too."""
    try:
        sys.stdout.write(line(event) + "\n")
        sys.stdout.flush()
    except (OSError, RouterError) as error:  # the latter where the command line has made it one of ours
        raise WorkerMustEnd(error) from error


def line(event: Event) -> str:
    """Return an event's time, stream, resource, company, action and id; `-` stands for what the sender did not say."""
    time = (event.occurred_at or event.received_at).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    company = f"company={event.company_id}" if event.company_id else None
    parts = (time, event.stream, event.resource, company, event.action, event.id)
    return " ".join(_printable(part) for part in parts)


def _printable(text: str | None) -> str:
    """Keep what a sender wrote from breaking the line or commanding the terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text or "-")

"""The text of the worker module."""

import json

from router.cli.init.answers import Answers

__all__ = ["worker_text"]

_TEXT = '''\
"""What is done with each event: docs/workers.md has all that a subscription can do."""

import logging

from workers import Event, Retry, Subscription

mine = Subscription("mine", events={events}, retry=Retry(max_attempts=8, first_delay=2, max_delay=900))

log = logging.getLogger("my_worker")


@mine.handler
async def handle(event: Event) -> None:
    """Do here what is to be done, in a way that may be done twice: `event.id` stays the same."""
    log.warning("%s %s of company %s", event.type, event.resource, event.company_id)
'''


def worker_text(answers: Answers) -> str:
    """Return the module."""
    return _TEXT.format(events=json.dumps(list(answers.events)))

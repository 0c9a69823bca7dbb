"""What is said of a store that fails."""

from typing import Any

from router.tasks.outage import Outage, Reminder


class Log:
    """A log that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[tuple[str, dict[str, Any]]] = []

    def warning(self, event: str, **values: Any) -> None:
        """Keep a warning."""
        self.said.append((event, values))

    info = warning


def outage() -> tuple[Outage, list[tuple[str, dict[str, Any]]], list[float]]:
    """Return an outage, what it said, and its clock."""
    log, now = Log(), [100.0]
    return Outage(log, lambda: now[0]), log.said, now


def test_an_outage_is_said_when_it_begins_and_when_it_ends() -> None:
    """However many loops fail however often, the log has one line, and one when all of them work again."""
    found, said, now = outage()
    for _ in range(20):
        found.failed("reading", OSError("away"))
        found.failed("heartbeat", OSError("away"))
        now[0] += 1
    assert said == [("store_failed", {"doing": "reading", "error": "OSError: away", "for_seconds": 0})]
    found.over("reading")
    assert len(said) == 1
    found.over("heartbeat")
    assert said[1] == ("store_works_again", {"after_seconds": 20.0})


def test_a_long_outage_is_said_again_each_minute() -> None:
    """Who looks at the log in the middle of it finds out as well."""
    found, said, now = outage()
    for _ in range(200):
        found.failed("reading", OSError("away"))
        now[0] += 1
    assert [values["for_seconds"] for _, values in said] == [0, 60, 120, 180]


def test_a_second_outage_is_said_as_the_first() -> None:
    """What is over is forgotten; success without a failure before says nothing."""
    found, said, _ = outage()
    for _ in range(2):
        found.over("reading")
        found.failed("reading", OSError("away"))
        found.over("reading")
    assert [event for event, _ in said] == ["store_failed", "store_works_again"] * 2


def test_what_lasts_is_said_again_after_a_while() -> None:
    """It is due at once, then once in its time however often it is asked, and at once again after it was over."""
    now = 0.0
    reminder = Reminder(lambda: now, seconds=60)
    assert [reminder.is_due() for _ in range(3)] == [True, False, False]
    now = 59.0
    assert not reminder.is_due()
    now = 60.0
    assert [reminder.is_due(), reminder.is_due()] == [True, False]
    reminder.over()
    assert reminder.is_due()

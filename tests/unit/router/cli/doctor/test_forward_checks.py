"""What `doctor` says of forwards that the store knows."""

from datetime import UTC, datetime

from router.cli.doctor.forward_checks import judge_forward
from workers.operations.forwards import ForwardState
from workers.state.forwards import Deferral

AT = datetime(2026, 3, 1, tzinfo=UTC)


def test_a_receiver_that_puts_events_off() -> None:
    """A forward that runs is no finding; one whose receiver puts events off is: since when, until when and why."""
    about = {"name": "crm", "host": "h.example", "format": "raw", "last": "503", "last_at": AT, "seconds": 0.1}
    known = {"pause": None, "breaker": None, "workers": 1, "lag": 0, "scheduled": 0, "dead": 0}
    assert judge_forward(ForwardState(**about, **known, deferral=None)) is None  # type: ignore[arg-type]
    deferral = Deferral(AT, AT.replace(hour=1), "the receiver answered 503")
    found = judge_forward(ForwardState(**about, **known, deferral=deferral))  # type: ignore[arg-type]
    assert found is not None
    assert (found.name, found.state) == ("forward crm", "warning")
    assert "h.example puts events off since 2026-03-01 00:00:00 until 2026-03-01 01:00:00 UTC" in found.detail

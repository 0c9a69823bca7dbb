"""What an ingress knows of its store."""

from structlog.testing import capture_logs

from router.intake.store_state import StoreState
from router.store.errors import StoreRefused, StoreUnavailable


def test_an_outage_is_logged_once() -> None:
    """The log says why spooling began, once for each outage, however many requests find it out."""
    state = StoreState()
    with capture_logs() as logged:
        for _ in range(3):
            state.refused(StoreUnavailable("away"), away=True)
        state.succeeded()
        state.refused(StoreRefused("full"))
    assert [(line["event"], line["error"]) for line in logged] == [
        ("spooling_started", "away"),
        ("spooling_started", "full"),
    ]


def test_a_store_that_answers_is_not_away_but_may_fail_still() -> None:
    """The store is away until it answers, and failing until it takes everything; `reason` is the newest error."""
    state = StoreState()
    assert (state.is_away, state.reason, state.failed.is_set()) == (False, "", False)
    state.refused(StoreUnavailable("away"), away=True)
    state.refused(StoreRefused("full"))
    assert (state.is_away, state.reason, state.failed.is_set()) == (True, "full", True)
    state.answered()
    assert (state.is_away, state.reason, state.failed.is_set()) == (False, "full", True)
    state.refused(StoreUnavailable("away"), away=True)
    state.succeeded()
    assert (state.is_away, state.reason, state.failed.is_set()) == (False, "", False)

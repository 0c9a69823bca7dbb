"""The criteria that selectors are made of."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from workers.operations.criteria import parse_moment

NOW = datetime(2025, 6, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("30s", NOW - timedelta(seconds=30)),
        ("15m", NOW - timedelta(minutes=15)),
        (" 2h ", NOW - timedelta(hours=2)),
        ("3d", NOW - timedelta(days=3)),
        ("2w", NOW - timedelta(weeks=2)),
        ("2025-05-01", datetime(2025, 5, 1, tzinfo=UTC)),
        ("2025-05-01T08:00:00", datetime(2025, 5, 1, 8, tzinfo=UTC)),
        ("2025-05-01T08:00:00Z", datetime(2025, 5, 1, 8, tzinfo=UTC)),
        ("2025-05-01T08:00:00+02:00", datetime(2025, 5, 1, 8, tzinfo=timezone(timedelta(hours=2)))),
    ],
)
def test_parse_moment(text: str, moment: datetime) -> None:
    """A time is so long ago, or an ISO time that is UTC unless it says otherwise."""
    parsed = parse_moment(text, NOW)
    assert parsed == moment
    assert parsed.tzinfo is UTC


@pytest.mark.parametrize(
    "text", ["", "yesterday", "5", "-5m", "5y", "1.5h", "999999w", "2025-13-01", "0001-01-01T00:00:00+14:00"]
)
def test_no_moment(text: str) -> None:
    """Any other text is refused with an example of what is allowed."""
    with pytest.raises(ValueError, match="write 15m, 2h, 3d"):
        parse_moment(text, NOW)

"""A limit as a user writes it: how often handlers may call something, over all workers."""

import re
from collections.abc import Callable, Mapping
from typing import Literal

from config.errors import ConfigError
from router.events.event import Event
from workers.delivery import Delivery
from workers.limits.headers import heard_in
from workers.limits.limiter import Limiter, current
from workers.limits.terms import Terms

__all__ = ["Limit", "Subject"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_LONGEST = 200

Subject = Event | Delivery | str | None
"""Whose quota a call is of: that of an event, or of a name."""


class Limit:
    """A quota that all workers share.

    name: letters, digits, `.`, `_` and `-`; limits of the same name share their quotas.
    per: what has a quota of its own: `company` (of a tenant), `tenant`, a function of the event that returns a text,
        or None where there is one quota for all.
    rate: how many calls may go in a `window`; or None, where that is learnt from the headers of answers.
    headers: what those headers begin with: `x-ratelimit` for `X-RateLimit-Limit`, `-Remaining`, `-Reset`, `-Policy`.
    window: seconds; with `headers` the longest that a window lasts.
    reserve: which part of the limit is left for others, from 0 to below 1.
    """

    def __init__(
        self,
        name: str,
        *,
        per: Literal["company", "tenant"] | Callable[[Event], str] | None = None,
        rate: int | None = None,
        headers: str | None = None,
        window: float = 3600.0,
        reserve: float = 0.0,
    ) -> None:
        self.name = name
        self.per = per
        self.rate = rate
        self.headers = headers
        self.window = window
        self.reserve = reserve
        self._validate()
        self._alone = Limiter(None, "")

    def __repr__(self) -> str:
        return f"Limit({self.name!r})"

    async def acquire(self, subject: Subject = None, *, reserve: float | None = None) -> None:
        """Return where one call may go now; raises Defer where it may not, which the handler lets pass.

        reserve: another one for this call, such as a larger one for work that is less urgent.
        """
        part = self.reserve if reserve is None else reserve
        await self._limiter.acquire(self.terms._replace(reserve=part), self.subject_of(subject))

    async def learn(self, subject: Subject, headers: Mapping[str, str], status: int) -> None:
        """Take note of the answer to a call that `acquire` let go; status 0 where there was no answer."""
        limiter = self._limiter
        heard = heard_in(self.headers, headers, status, limiter.clock())
        await limiter.learn(self.terms, self.subject_of(subject), heard)

    def acquire_in_thread(self, subject: Subject = None, *, reserve: float | None = None) -> None:
        """Do what `acquire` does, in a handler that is a plain function."""
        self._limiter.home.in_thread(lambda: self.acquire(subject, reserve=reserve))

    def learn_in_thread(self, subject: Subject, headers: Mapping[str, str], status: int) -> None:
        """Do what `learn` does, in a handler that is a plain function."""
        self._limiter.home.in_thread(lambda: self.learn(subject, headers, status))

    def subject_of(self, subject: Subject) -> str:
        """Return the name of whose quota it is; a text stands for itself."""
        if self.per is None:
            return ""
        if isinstance(subject, Delivery):
            subject = subject.event
        if subject is None or isinstance(subject, str):
            return (subject or "")[:_LONGEST]
        if callable(self.per):
            return str(self.per(subject))[:_LONGEST]
        names = (subject.tenant_id, subject.company_id if self.per == "company" else None)
        return "/".join(name for name in names if name)[:_LONGEST]

    @property
    def terms(self) -> Terms:
        """What the limiter needs to know of it."""
        return Terms(self.name, self.rate, self.window, self.reserve)

    @property
    def _limiter(self) -> Limiter:
        return current() or self._alone

    def _validate(self) -> None:
        if not _NAME.fullmatch(str(self.name)):
            raise ConfigError(f"{self.name!r} is no name of a limit: use letters, digits, '.', '_' and '-'")
        if (self.rate is None) == (self.headers is None):
            raise ConfigError(f"Limit({self.name!r}): give rate, or headers to learn it from, and not both")
        if self.rate is not None and (self.rate < 1 or self.rate % 1):
            raise ConfigError(f"Limit({self.name!r}): rate is a number of calls from 1, not {self.rate!r}")
        if not 0 < self.window < float("inf"):
            raise ConfigError(f"Limit({self.name!r}): window is in seconds, not {self.window!r}")
        if not 0 <= self.reserve < 1:
            raise ConfigError(f"Limit({self.name!r}): reserve is a part from 0 to below 1, not {self.reserve!r}")
        if not (self.per in ("company", "tenant", None) or callable(self.per)):
            raise ConfigError(
                f"Limit({self.name!r}): per is 'company', 'tenant', a function of the event, or None, not {self.per!r}"
            )

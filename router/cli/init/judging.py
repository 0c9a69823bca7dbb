"""Whether an answer can be used, on a terminal and as an option. Each function raises ValueError where it cannot."""

from collections.abc import Iterable, Sequence
from ipaddress import ip_network

from config.errors import ConfigError
from config.notify import check_mail_address, check_mail_host
from config.outgoing import check_target_url
from config.urls import check_redis_url
from router.cli.init.answers import networks_for
from router.cli.options.networks import as_option
from workers.outgoing import Outgoing, Target

__all__ = ["mail_address", "mail_addresses", "mail_host", "receiver", "redis_url", "slugs", "target_url"]

_PYTHON = "python"


def slugs(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the names of publishers in several texts, each of which may list some: at least one."""
    if not (found := _listed(texts)):
        raise ValueError("name one at least")
    return found


def redis_url(text: str) -> str:
    """Return the URL of a Redis, or `embedded`."""
    return check_redis_url(text.strip())


def receiver(text: str, allowed: Sequence[str]) -> str:
    """Return the URL of a receiver, empty for Python; `allowed` are the private networks that it may lead to."""
    return "" if text.strip().lower() == _PYTHON else target_url(text, allowed)


def target_url(text: str, allowed: Sequence[str]) -> str:
    """Return a URL that can be posted to, a receiver's or a channel's; of a refused one only its host is repeated."""
    url = check_target_url(text.strip())
    try:
        Outgoing(Target(url, allow_private=tuple(map(ip_network, networks_for(url, allowed)))))
    except ConfigError as error:
        raise ValueError(as_option(str(error))) from None
    return url


def mail_host(text: str) -> str:
    """Return the host of a mail server."""
    return check_mail_host(_given(text))


def mail_address(text: str) -> str:
    """Return an address that mails come from or go to."""
    return check_mail_address(_given(text))


def mail_addresses(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the addresses that mails go to, of several texts, each of which may list some."""
    return tuple(map(mail_address, _listed(texts) or [""]))


def _given(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text.strip()


def _listed(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for text in texts for part in text.split(",") if part.strip()))

"""The answers to the five questions, and what follows from them alone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from config.notify import Channel
from config.outgoing import address_in
from config.urls import parse_redis_url

__all__ = [
    "EMBEDDED",
    "FORWARD",
    "MACHINE",
    "NONE",
    "NOTIFIER",
    "Answers",
    "Mail",
    "contained",
    "is_here",
    "networks_for",
    "unreached_by_containers",
]

EMBEDDED: Final = "embedded"
NONE: Final = "none"
"""The answers that no Redis of one's own is there, and that nobody hears of incidents."""

NOTIFIER: Final = "ops"
FORWARD: Final = "receiver"
"""How the notifier and the forward are called."""

MACHINE: Final = "host.docker.internal"
"""What a container calls the machine that it runs on, with `extra_hosts` of compose.yaml."""

_GATEWAYS: Final = ("172.16.0.0/12", "192.168.0.0/16")
"""Where Docker puts that machine: the gateway of the container's network, or Docker Desktop's."""

_LOOPBACK: Final = ("127.0.0.0/8", "::1/128")


@dataclass(frozen=True, slots=True)
class Mail:
    """Which mail server takes mails, from whom and to whom; user and password are empty where it asks for none."""

    host: str
    sender: str
    to: tuple[str, ...]
    user: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Answers:
    """What was answered.

    secrets: by publisher, where one was given. redis: `embedded` or a URL. forward: the URL of a receiver; empty for a
    worker in Python. channel: on which incidents are reported, if any. allow_private: networks that URLs may lead to.
    """

    publishers: tuple[str, ...]
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    redis: str = field(default=EMBEDDED, repr=False)
    forward: str = ""
    channel: Channel | None = None
    channel_url: str = field(default="", repr=False)
    mail: Mail | None = None
    allow_private: tuple[str, ...] = ()

    @property
    def events(self) -> tuple[str, ...]:
        """The globs of all events of the publishers."""
        return tuple(f"{slug}/*" for slug in self.publishers)


def networks_for(url: str, allowed: Iterable[str]) -> tuple[str, ...]:
    """Return the private networks that a URL may lead to: those allowed, and this machine where the URL names it."""
    return tuple(dict.fromkeys((*allowed, *(_LOOPBACK if is_here(url) else ()))))


def is_here(url: str) -> bool:
    """Return whether a URL names the machine that it is used on."""
    return _is_this_machine(urlsplit(url).hostname or "")


def _is_this_machine(host: str) -> bool:
    address = address_in(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def contained(answers: Answers) -> Answers:
    """Return the answers as they are right within a container, where the machine that it runs on has another name."""
    if not is_here(answers.forward):
        return answers
    parts = urlsplit(answers.forward)
    port = "" if parts.port is None else f":{parts.port}"
    url = urlunsplit(parts._replace(netloc=f"{MACHINE}{port}"))
    return replace(answers, forward=url, allow_private=(*answers.allow_private, *_GATEWAYS))


def unreached_by_containers(answers: Answers) -> tuple[str, ...]:
    """Return which answers, other than the receiver, name this machine: files of secrets, and the mail server."""
    store = None if answers.redis == EMBEDDED else parse_redis_url(answers.redis)
    found = {
        "secrets/redis-url": store and (store.path or any(_is_this_machine(host) for host, _ in store.nodes)),
        "secrets/notify-url": is_here(answers.channel_url),
        "the mail server": answers.mail and _is_this_machine(answers.mail.host),
    }
    return tuple(name for name, is_one in found.items() if is_one)

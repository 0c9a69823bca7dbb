"""The URL of the store: which forms there are, what each one says, and how one is shown."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

Kind = Literal["server", "socket", "sentinel", "cluster"]

_SCHEMES: Mapping[str, tuple[Kind, bool]] = {
    "redis": ("server", False),
    "rediss": ("server", True),
    "unix": ("socket", False),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
}

_PLAIN = ("db", "username", "password")
_TLS = ("ssl_ca_certs", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname", "ssl_keyfile")
_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_LAST_PORT = 65_535
_UNSEEN = dict.fromkeys(map(ord, "\t\r\n"))  # urlsplit does not see them either
_BRACKETS = dict.fromkeys(map(ord, "[]"))
_NOT_A_HOST = "no HOST or HOST:PORT to be found (a password with any of :/?#[]@ in it has to be percent-encoded)"


class Node(NamedTuple):
    """Where a server or a Sentinel listens."""

    host: str
    port: int


class Access(NamedTuple):
    """As whom to log in; None for the default user, or for no password."""

    username: str | None
    password: str | None


@dataclass(frozen=True, slots=True)
class StoreUrl:
    """What a URL says; `tls` holds the parameters of the encryption as redis-py names them, None without encryption."""

    kind: Kind
    nodes: tuple[Node, ...] = ()
    path: str = ""
    service: str = ""
    db: int = 0
    access: Access = field(default=Access(None, None), repr=False)
    sentinel_access: Access = field(default=Access(None, None), repr=False)
    tls: Mapping[str, str | bool] | None = None


def check_redis_url(value: str) -> str:
    """Return the URL, or `embedded`, if the router can use it, else raise ValueError."""
    if value != "embedded":
        parse_redis_url(value)
    return value


def parse_redis_url(url: str) -> StoreUrl:
    """Read a URL of one of the known forms; raises ValueError, without a password in its message."""
    scheme, _, rest = url.partition("://")
    if scheme not in _SCHEMES or not rest:
        raise ValueError(f"must be embedded or a URL of {', '.join(f'{known}://' for known in _SCHEMES)}")
    kind, tls = _SCHEMES[scheme]
    parts = _split(url)
    parameters = dict(parse_qsl(parts.query, keep_blank_values=True))
    _check_names(parameters, scheme, tls=tls)
    login, _, hosts = parts.netloc.rpartition("@")
    asked = Access(parameters.pop("username", None), parameters.pop("password", None))
    access = _login(login) if login or kind == "sentinel" else asked
    service, db = _split_path(kind, parts, parameters.pop("db", None))
    return StoreUrl(
        kind=kind,
        nodes=_nodes(kind, hosts),
        path=_socket(parts, hosts) if kind == "socket" else "",
        service=service,
        db=db,
        access=access,
        sentinel_access=asked,
        tls=_encryption(parameters) if tls else None,
    )


def redact_url(url: str) -> str:
    """Return the URL with its password as `***`: that before the host and those among the parameters."""
    url = re.sub(r"([?&][^=&#]*(?:password|secret)[^=&#]*=)[^&#]*", r"\1***", url, flags=re.IGNORECASE)
    return re.sub(r"^([\w+.-]+://)?([^:@/]*:)?.*@", r"\1\2***@", url, flags=re.DOTALL)


def _split(url: str) -> SplitResult:
    """Split a URL, whose hosts may be several; urlsplit sees no brackets: some versions take one pair at most."""
    scheme, _, rest = url.translate(_UNSEEN).partition("://")
    hosts = re.split("[/?#]", rest, maxsplit=1)[0]
    try:
        parts = urlsplit(f"{scheme}://{hosts.translate(_BRACKETS)}{rest[len(hosts) :]}")._replace(netloc=hosts)
    except ValueError:  # whose message repeats the password
        raise ValueError(_NOT_A_HOST) from None
    if parts.scheme != "unix" and "@" in parts.path + parts.query + parts.fragment:
        raise ValueError(_NOT_A_HOST)  # the password ended the host, and must not be shown as anything else
    return parts


def _check_names(parameters: Mapping[str, str], scheme: str, *, tls: bool) -> None:
    for name in parameters:
        if name in _TLS and not tls:
            raise ValueError(f"{name} is for encrypted connections: write rediss{scheme.removeprefix('redis')}://")
        if name not in (*_PLAIN, *_TLS):
            known = ", ".join((*_PLAIN, *_TLS) if tls else _PLAIN)
            raise ValueError(f"unknown parameter {name[:40]!r}; known are {known}")


def _login(text: str) -> Access:
    name, _, password = text.partition(":")
    return Access(unquote(name) or None, unquote(password) or None)


def _nodes(kind: Kind, hosts: str) -> tuple[Node, ...]:
    if kind == "socket":
        return ()
    nodes = tuple(_node(text, kind) for text in hosts.split(","))
    if kind == "server" and len(nodes) > 1:
        raise ValueError("several hosts: write redis+sentinel:// or redis+cluster://")
    return nodes


def _node(text: str, kind: Kind) -> Node:
    found = re.fullmatch(r"(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:\[\]]*))(?::(?P<port>[0-9]{1,5}))?", text)
    if found is None:
        raise ValueError(_NOT_A_HOST)
    host = unquote(found["v6"] or found["host"])
    port = int(found["port"] or (26_379 if kind == "sentinel" else 6379))
    if not 0 < port <= _LAST_PORT:
        raise ValueError(f"{port} is no port")
    if not host and kind != "server":
        raise ValueError("names no host")
    return Node(host or "localhost", port)


def _socket(parts: SplitResult, hosts: str) -> str:
    if hosts or not parts.path:
        raise ValueError("the path of a socket is absolute: write unix:///run/redis.sock")
    return unquote(parts.path)


def _split_path(kind: Kind, parts: SplitResult, named: str | None) -> tuple[str, int]:
    """Return the name of the Sentinel service and the number of the database."""
    path = [] if kind == "socket" else [unquote(part) for part in parts.path.split("/") if part]
    service = ""
    if kind == "sentinel":
        if not path:
            where = parts.netloc.rpartition("@")[2]
            raise ValueError(f"names no Sentinel service: write {parts.scheme}://{where}/SERVICE[/DB]")
        service = path.pop(0)
    text = "/".join(path) or named or "0"
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{text[:40]!r} is no database number")
    if kind == "cluster" and int(text):
        raise ValueError(f"database {text}: a Cluster has no database but 0")
    return service, int(text)


def _encryption(parameters: Mapping[str, str]) -> dict[str, str | bool]:
    options: dict[str, str | bool] = {**parameters}
    if (known := options.get("ssl_cert_reqs", "required")) not in ("required", "none"):
        raise ValueError(f"ssl_cert_reqs={known}: must be required, or none to trust any server that answers")
    if (flag := parameters.get("ssl_check_hostname")) is not None:
        if flag.lower() not in _FLAGS:
            raise ValueError(f"ssl_check_hostname={flag}: must be true or false")
        options["ssl_check_hostname"] = _FLAGS[flag.lower()]
    return options

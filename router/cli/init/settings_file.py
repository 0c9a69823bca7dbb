"""The text of router.toml. No secret is in it: it names their files."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from config.notify import NotifySettings
from router.cli.init.answers import EMBEDDED, FORWARD, NOTIFIER, Answers, networks_for

__all__ = ["settings_text", "tables_of"]

_HEAD = """\
# The settings of the event router, made by `event-router init`. docs/settings.md has all others with their defaults; an
# environment variable overrides each, such as ROUTER_INGRESS__PORT.
"""

Values = dict[str, Any]


def settings_text(answers: Answers, folder: Path) -> str:
    """Return the settings; `folder` is that of the secrets, as the settings name it."""
    return _HEAD + "".join(_table(name, values) for name, values in tables_of(answers, folder))


def tables_of(answers: Answers, folder: Path) -> Iterator[tuple[str, Values]]:
    """Yield the tables of the settings: a name in brackets, and what is in it."""
    if answers.redis == EMBEDDED:
        yield "[redis]", {"url": EMBEDDED}
    else:
        yield "[redis]", {"url_file": str(folder / "redis-url")}
    yield "[secrets]", {f"{slug}_file": str(folder / slug) for slug in answers.publishers}
    if answers.forward:
        yield "[[forward]]", _forward(answers, folder)
    if answers.channel:
        yield "[[notify]]", _notify(answers, folder)


def _forward(answers: Answers, folder: Path) -> Values:
    values: Values = {"name": FORWARD, "events": list(answers.events), "url": answers.forward}
    values["secret_file"] = str(folder / "forward")
    return values | _private(answers.forward, answers)


def _notify(answers: Answers, folder: Path) -> Values:
    values: Values = {"name": NOTIFIER, "kind": answers.channel}
    if mail := answers.mail:
        values |= {"host": mail.host, "from": mail.sender, "to": list(mail.to)}
        if NotifySettings(host=mail.host).is_local:
            values["starttls"] = False
        if mail.user:
            values |= {"user": mail.user, "password_file": str(folder / "notify-password")}
        return values
    values["url_file"] = str(folder / "notify-url")
    if answers.channel == "webhook":
        values["secret_file"] = str(folder / "notify-secret")
    return values | _private(answers.channel_url, answers)


def _private(url: str, answers: Answers) -> Values:
    networks = networks_for(url, answers.allow_private)
    return {"allow_private": list(networks)} if networks else {}


def _table(name: str, values: Mapping[str, Any]) -> str:
    lines = "".join(f"{key} = {_written(value)}\n" for key, value in values.items())
    return f"\n{name}\n{lines}"


def _written(value: Any) -> str:
    """Return a value as TOML has it, whose texts and lists of texts are those of JSON."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")

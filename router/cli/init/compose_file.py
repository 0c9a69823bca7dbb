"""The text of compose.override.yaml: what the answers change of compose.yaml.

Each container has the secrets of its role alone. Values are quoted as JSON has them, which YAML reads.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from config.tables import fold_name
from router.cli.init.answers import EMBEDDED, MACHINE, Answers, contained, is_here
from router.cli.init.secrets import secrets_for
from router.cli.init.settings_file import tables_of

__all__ = ["SECRETS", "compose_text", "variables_of"]

SECRETS: Final = Path("/run/secrets")
"""Where containers find secrets."""

_DOORS: Final = ("ingress-a", "ingress-b", "cli")
_HEAD: Final = """\
# What `event-router init` adds to compose.yaml, which reads this file by itself. Before the first start:
# sh deploy/make-secrets, which also lets the containers read the files of ./secrets.
"""

Values = dict[str, Any]


def compose_text(answers: Answers) -> str:
    """Return the file."""
    return _HEAD + "\n".join(_lines(_composed(answers))) + "\n"


def variables_of(answers: Answers) -> dict[str, Mapping[str, str]]:
    """Return the environment that each service gets."""
    return {name: service.get("environment", {}) for name, service in _composed(answers)["services"].items()}


def _composed(answers: Answers) -> Values:
    services: dict[str, Values] = {}
    names = {secret.name for secret in secrets_for(answers)}
    runs = "forward" if answers.forward else "worker"
    asked = dict.fromkeys(("worker", runs, "console"))
    _give(services, _DOORS, _publishers(answers), [slug for slug in answers.publishers if slug in names])
    if answers.redis != EMBEDDED:
        _give(services, (*_DOORS, *asked), {"ROUTER_REDIS__URL_FILE": str(SECRETS / "redis-url")}, ["redis-url"])
    _give(services, asked, {"ROUTER_PUBLISHERS": ",".join(answers.publishers)}, [])
    tables = [
        (name.strip("[]"), values) for name, values in tables_of(contained(answers), SECRETS) if name.startswith("[[")
    ]
    variables = dict(pair for name, values in tables for pair in _variables(name, values))
    own = [name for name in ("forward", "notify-url", "notify-secret", "notify-password") if name in names]
    _give(services, (runs,), variables, own)
    _suit(services, answers)
    composed: Values = {"services": services}
    if answers.redis != EMBEDDED:
        composed["networks"] = {"back": {"internal": False}}
    return composed | {"secrets": {name: _file(name) for name in sorted(names)}}


def _suit(services: dict[str, Values], answers: Answers) -> None:
    """Give the worker its module; or have a forward run in place of it, which reaches this machine where it has to."""
    if not answers.forward:
        services["worker"]["volumes"] = ["./my_worker.py:/workers/my_worker.py:ro"]
        return
    services["worker"]["profiles"] = ["worker"]  # without which it is not started
    if is_here(answers.forward):
        services["forward"]["extra_hosts"] = [f"{MACHINE}:host-gateway"]


def _give(
    services: dict[str, Values], names: Iterable[str], environment: Mapping[str, str], own: Iterable[str]
) -> None:
    for name in names if environment else ():
        service = services.setdefault(name, {"environment": {}, "secrets": []})
        service["environment"] |= environment
        service["secrets"] += own


def _publishers(answers: Answers) -> dict[str, str]:
    return {f"ROUTER_SECRETS__{fold_name(slug).upper()}_FILE": str(SECRETS / slug) for slug in answers.publishers}


def _variables(section: str, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the variables that set a table: its name is in each of them."""
    for key, value in values.items():
        if key != "name":
            text = ",".join(value) if isinstance(value, list) else str(value).lower() if value is False else str(value)
            yield f"ROUTER_{section}__{fold_name(values['name'])}__{key}".upper(), text


def _file(name: str) -> Values:
    return {"file": f"${{SECRETS_DIR:-./secrets}}/{name}"}


def _lines(values: Mapping[str, Any], depth: int = 0) -> Iterator[str]:
    for key, value in values.items():
        indent = "  " * depth
        if isinstance(value, Mapping):
            yield f"{indent}{key}:"
            yield from _lines(value, depth + 1)
        elif key == "file":
            yield f"{indent}{key}: {json.dumps(value)}"
        else:  # a dollar would begin a variable
            yield f"{indent}{key}: {json.dumps(value, ensure_ascii=False)}".replace("$", "$$")

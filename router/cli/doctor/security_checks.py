"""What `doctor` says of who may come near: the operations port, its token, and the files that hold secrets."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from config.settings import OpsSettings, Settings
from router.cli.doctor.checks import Ingress
from router.events.catalogue import Catalogue
from router.ingress.signing_secrets import secrets_of
from router.process.ops_token import is_loopback
from router.store.health.judgement import Check

_SHORT = 16  # bytes of a secret that could be guessed
_OTHERS = 0o007  # the bits of a file's mode for those who are neither its owner nor of its group


def judge_ops(ops: OpsSettings, running: Sequence[Ingress] = ()) -> Iterator[Check]:
    """Judge who can ask the operations ports, and whether the running processes have the token of these settings."""
    name, where = "operations port", f"{ops.host}:{ops.port}"
    if ops.token is not None:
        yield Check(name, "ok", f"{where}, asks for the token")
    elif is_loopback(ops.host):
        yield Check(name, "ok", f"{where}, for this machine alone")
    else:
        detail = f"{where} IS OPEN TO EVERYONE WHO REACHES IT: no token is asked for"
        advice = "set ROUTER_OPS__TOKEN or ROUTER_OPS__TOKEN_FILE, or ops.host = 127.0.0.1 (docs/security.md)"
        yield Check(name, "warning", detail, advice)
    for ingress in running:
        if not ingress.takes_token:
            detail = f"{ingress.url} does not take the token of these settings"
            yield Check("operations token of ingress", "warning", detail, "start that process again")


def judge_secret_files(files: Sequence[Path]) -> Iterator[Check]:
    """Warn of files with secrets that every user of this machine may read or replace."""
    for file in files:
        try:
            mode = file.stat().st_mode
        except OSError:  # the settings were read, so it is gone since; that is not what is judged here
            continue
        if mode & _OTHERS:
            detail = f"every user of this machine may use it (mode {mode & 0o777:03o})"
            yield Check(f"secret file {file}", "warning", detail, f"chmod o= {file}")


def judge_secrets(settings: Settings, catalogue: Catalogue) -> Iterator[Check]:
    """Warn of secrets so short that anyone with one signed body can find them by trying."""
    for slug in catalogue.publishers:
        if short := [secret for secret in secrets_of(settings, slug) if len(secret) < _SHORT]:
            detail = f"{len(short)} shorter than {_SHORT} bytes: one signed body is enough to find it by trying"
            yield Check(f"secrets of {slug}", "warning", detail, "take the one that the portal made")


def judge_knowing(
    settings: Settings, catalogue: Catalogue, running: Sequence[Ingress], files: Iterable[Path]
) -> Iterator[Check]:
    """Say of running ingresses whether they know the secrets and publishers that would be read now."""
    changed = {file: file.stat().st_mtime for file in files if file.exists()}
    counts = {slug: len(secrets_of(settings, slug)) for slug in catalogue.publishers}
    for ingress in running:
        if ingress.read_at is None:
            continue
        late = [str(file) for file, at in changed.items() if at > ingress.read_at]
        differing = [slug for slug, number in counts.items() if ingress.secrets.get(slug) != number]
        name, advice = f"secrets of {ingress.name}", "send SIGHUP to it, or to `up`; its log says what it took over"
        if late:
            yield Check(name, "warning", f"it has not read {', '.join(late)} since that was changed", advice)
        elif differing:
            detail = f"it has other secrets than these settings of {', '.join(differing)}"
            yield Check(name, "warning", detail, f"{advice}; what variables say it reads at its start alone")
        else:
            yield Check(name, "ok", "as these settings have them")

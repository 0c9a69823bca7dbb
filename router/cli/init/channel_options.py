"""The options that stand for the fifth question: who hears of incidents."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, get_args

import typer

from config.notify import Channel
from router.cli.init import judging
from router.cli.init.answers import NONE, Mail
from router.cli.init.options import judged, text_of

__all__ = ["GivenChannel", "given_channel"]

_MAIL: Final = "smtp"
_OF_URL: Final = tuple(kind for kind in get_args(Channel) if kind != _MAIL)
_KINDS: Final = (NONE, *_OF_URL, _MAIL)


@dataclass(frozen=True, slots=True)
class GivenChannel:
    """What options say of the fifth question; None where they do not."""

    kind: str | None
    url: str | None = field(repr=False)
    mail: Mail | None


def given_channel(
    notify: Annotated[
        str | None, typer.Option(metavar="KIND", help="5. Who hears of incidents: none, teams, slack, webhook or smtp.")
    ] = None,
    notify_url_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The file with the URL of teams, slack or webhook.")
    ] = None,
    mail_host: Annotated[str, typer.Option(metavar="HOST", help="The mail server of smtp.")] = "",
    mail_from: Annotated[str, typer.Option(metavar="ADDRESS", help="The address that mails come from.")] = "",
    mail_to: Annotated[
        list[str] | None, typer.Option(metavar="ADDRESS", help="An address that mails go to; may be repeated.")
    ] = None,
    mail_user: Annotated[str, typer.Option(metavar="NAME", help="As whom to log in to the mail server.")] = "",
    mail_password_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The file with the password of that user.")
    ] = None,
) -> GivenChannel:
    """Return the fifth answer, as far as options give it; raises BadParameter for what cannot be used."""
    url = {"--notify-url-file": notify_url_file}
    server = {"--mail-host": mail_host, "--mail-from": mail_from, "--mail-to": mail_to}
    login = {"--mail-user": mail_user, "--mail-password-file": mail_password_file}
    if notify is not None and notify not in _KINDS:
        raise typer.BadParameter(f"--notify {notify}: is none of {', '.join(_KINDS)}")
    _refuse_meaningless(notify, url, _OF_URL)
    _refuse_meaningless(notify, {**server, **login}, (_MAIL,))
    if has_mail := any([*server.values(), *login.values()]):
        _refuse_missing("--notify smtp", server)
    if any(login.values()):
        _refuse_missing("a login", login)
    return GivenChannel(
        notify,
        text_of(notify_url_file) if notify_url_file else None,
        _mail(mail_host, mail_from, mail_to or [], mail_user, mail_password_file) if has_mail else None,
    )


def _refuse_meaningless(kind: str | None, options: Mapping[str, Any], kinds: tuple[str, ...]) -> None:
    given = [name for name, value in options.items() if value]
    if given and kind not in kinds:
        verb = "mean" if len(given) > 1 else "means"
        instead = f"with --notify {kind}" if kind else f"without --notify {' or '.join(kinds)}"
        raise typer.BadParameter(f"{', '.join(given)} {verb} nothing {instead}")


def _refuse_missing(what: str, options: Mapping[str, Any]) -> None:
    if missing := [name for name, value in options.items() if not value]:
        raise typer.BadParameter(f"{what} needs {', '.join(missing)}")


def _mail(host: str, sender: str, to: list[str], user: str, password: Path | None) -> Mail:
    return Mail(
        judged("--mail-host", judging.mail_host, host),
        judged("--mail-from", judging.mail_address, sender),
        judged("--mail-to", judging.mail_addresses, to),
        user,
        text_of(password) if password else "",
    )

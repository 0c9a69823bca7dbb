"""The channel of a notifier, by its kind."""

from collections.abc import Callable

from config.errors import ConfigError
from config.notify import NotifySettings
from workers.notify.http_channel import HttpChannel
from workers.notify.mail_channel import MailChannel
from workers.notify.sending import Channel

__all__ = ["OpenChannel", "channel_of"]

OpenChannel = Callable[[NotifySettings], Channel]


def channel_of(settings: NotifySettings) -> HttpChannel | MailChannel:
    """Return the channel of a notifier; raises ConfigError, which names it, where that can never be reached."""
    try:
        return MailChannel(settings) if settings.kind == "smtp" else HttpChannel(settings)
    except ConfigError as error:
        named = str(error) if settings.name in str(error) else f"notify {settings.name!r}: {error}"
        raise ConfigError(named) from None

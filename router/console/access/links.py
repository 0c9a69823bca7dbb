"""Where the console is, and links to it that sign in once."""

from urllib.parse import urlencode

from config.settings import Settings
from router.console.access.token import known_token, make_code
from router.process.ops_ports import addressable


def console_url(settings: Settings, port: int) -> str:
    """Return the first page of the console on a port."""
    return f"http://{addressable(settings.ops.host)}:{port}/"


def sign_in_url(settings: Settings, port: int) -> str | None:
    """Return a link that signs in once, within a quarter of an hour; None where no console has made its token yet."""
    token = known_token(settings)
    return f"{console_url(settings, port)}login?{urlencode({'code': make_code(token)})}" if token else None

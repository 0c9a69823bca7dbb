"""What ingress takes over at a reload, who may send, as its log and its metrics tell it from its start on."""

import time

from prometheus_client import CollectorRegistry, Counter, Gauge

from config.errors import ConfigError
from config.settings import Settings
from router.events.catalogue import Catalogue
from router.ingress.app import Ingress
from router.ingress.signing_secrets import secrets_of
from router.telemetry import logs

_log = logs.get("ingress")


class IngressReload:
    """Lets a running ingress take over other publishers, secrets and networks."""

    def __init__(self, ingress: Ingress, settings: Settings, catalogue: Catalogue, registry: CollectorRegistry) -> None:
        self._ingress = ingress
        self._secrets = Gauge(
            "event_router_secrets",
            "Secrets that a publisher may sign with; with 0 all it sends is refused, unless unsigned is allowed.",
            ["publisher"],
            registry=registry,
        )
        text = "When settings, secrets and publishers were read, in seconds since the epoch."
        self._read_at = Gauge("event_router_settings_read_timestamp_seconds", text, registry=registry)
        text = "Reloads, by outcome: done or refused; a refused one left everything as it was."
        self._reloads = Counter("event_router_reloads_total", text, ["outcome"], registry=registry)
        for outcome in ("done", "refused"):
            self._reloads.labels(outcome)
        self._held: dict[str, int] = {}
        self._tell(settings, catalogue)

    def apply(self, settings: Settings, catalogue: Catalogue) -> None:
        """Have ingress judge by these; raises ConfigError, and changes nothing, where a generated secret is gone."""
        for slug in catalogue.publishers:
            generated = self._held.get(slug) and not self._settings.secrets_for(slug)
            if generated and not settings.allows_unsigned(slug) and not secrets_of(settings, slug):
                raise ConfigError(f"the generated secret of {slug} is gone; put it back, or start again without it")
        self._ingress.reload(settings, catalogue)
        report_unsecured(settings, catalogue)
        self._tell(settings, catalogue)

    def ready(self) -> list[str]:
        """Return the publishers that may send because the settings say so: a generated secret proves no intent."""
        settings = self._settings
        return [slug for slug in self._held if settings.secrets_for(slug) or settings.allows_unsigned(slug)]

    def reloaded(self, went_well: bool) -> None:  # noqa: FBT001 - what `Reload` tells
        """Count a reload."""
        self._reloads.labels("done" if went_well else "refused").inc()

    def _tell(self, settings: Settings, catalogue: Catalogue) -> None:
        self._settings = settings
        self._held = {slug: len(secrets_of(settings, slug)) for slug in catalogue.publishers}
        self._secrets.clear()
        for slug, number in self._held.items():
            self._secrets.labels(slug).set(number)
        self._read_at.set(time.time())


def report_unsecured(settings: Settings, catalogue: Catalogue) -> None:
    """Say at every start and reload which publishers accept anything, and which accept nothing."""
    for slug in catalogue.publishers:
        if settings.allows_unsigned(slug):
            _log.warning("unsigned_allowed", publisher=slug, risk="anyone who reaches the port can inject events")
        elif not secrets_of(settings, slug):
            _log.warning("no_secret", publisher=slug, consequence="every webhook of this publisher is refused")

"""SIGHUP to a parent of several processes: what was read is right, so it is handed on to those it concerns."""

import signal

from config.settings import Settings
from router.events.catalogue import Catalogue
from router.ingress.signing_secrets import make_secrets
from router.process.supervisor import Supervisor
from router.telemetry import logs

__all__ = ["INGRESS", "UpReload"]

INGRESS = "ingress"
"""What the names of children that receive webhooks begin with."""

_log = logs.get("up")


class UpReload:
    """Has every ingress read again, and starts the others again where the publishers changed: they read at start."""

    def __init__(self, supervisor: Supervisor, catalogue: Catalogue) -> None:
        self._supervisor = supervisor
        self._publishers = dict(catalogue.publishers)

    def __call__(self, settings: Settings, catalogue: Catalogue) -> None:
        """Hand on; raises ConfigError where the secret of a new publisher cannot be written."""
        for file in make_secrets(settings, set(catalogue.publishers) - set(self._publishers)):
            _log.info("secret_made", publisher=file.name, file=str(file))
        self._supervisor.send(signal.SIGHUP, lambda name: name.startswith(INGRESS))
        if self._publishers != (publishers := dict(catalogue.publishers)):
            _log.info("restarting_for_publishers", added=sorted(publishers.keys() - self._publishers.keys()))
            self._supervisor.send(signal.SIGTERM, lambda name: not name.startswith(INGRESS))
            self._publishers = publishers

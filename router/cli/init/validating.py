"""Whether what was made can be used: it is loaded by what loads it later."""

from pathlib import Path

from config.settings import Settings
from config.sources import load_settings
from router.cli.init.answers import Answers
from router.cli.init.compose_file import SECRETS, variables_of
from router.events.catalogue import Catalogue
from workers.forward.making import check_forwards
from workers.modules.loading import load_subscriptions
from workers.notify.notifiers import check_notifiers

__all__ = ["validate"]


def validate(answers: Answers, settings_file: Path, worker: Path) -> None:
    """Raise ConfigError where the settings, those of each container, or the worker could not be used."""
    catalogue = _check(load_settings(settings_file, {}))
    for variables in {tuple(sorted(each.items())) for each in variables_of(answers).values()}:
        local = {name: _here(value, settings_file.parent) for name, value in variables}
        _check(load_settings(_packaged(), local))
    if worker.exists():
        for subscription in load_subscriptions([str(worker)]):
            catalogue.select(*subscription.events)


def _check(settings: Settings) -> Catalogue:
    catalogue = Catalogue.for_settings(settings)
    check_notifiers(settings.notify)
    check_forwards(settings, catalogue)
    return catalogue


def _here(value: str, folder: Path) -> str:
    """Return a value of a container, with its files where they are here."""
    return str(folder / "secrets" / Path(value).name) if value.startswith(f"{SECRETS}/") else value


def _packaged() -> Path:
    import config  # noqa: PLC0415 - the folder of the settings that come with the package

    return Path(config.__file__).with_name("router.toml")

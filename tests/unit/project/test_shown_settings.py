"""Settings that pages show can be used as they stand there, also with what is commented out in them."""

import re
from pathlib import Path
from textwrap import dedent

import pytest

from config.sources import load_settings
from router.events.catalogue import Catalogue
from workers.forward.making import check_forwards
from workers.notify.notifiers import check_notifiers

ROOT = Path(__file__).parents[3]
PAGES = sorted(page for page in (ROOT / "docs").glob("*.md") if page.name != "publishers.md")  # that is of catalogues
BLOCK = re.compile(r"^( *)```toml\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
FILE = re.compile(r'^(\w*file) = "([^"]*)"', re.MULTILINE)
COMMENTED = re.compile(r"^# (?=\w+ = )", re.MULTILINE)
SHOWN = [
    pytest.param(block, id=f"{page.name}-{number}")
    for page in [ROOT / "README.md", *PAGES]
    for number, (_, block) in enumerate(BLOCK.findall(page.read_text()))
]


@pytest.mark.parametrize("text", SHOWN)
@pytest.mark.parametrize("all_of_it", [False, True])
def test_settings_of_a_page_load(tmp_path: Path, text: str, *, all_of_it: bool) -> None:
    """Every block of settings is read, and its forwards and notifiers can be made; the files it names are there."""
    shown = COMMENTED.sub("", dedent(text)) if all_of_it else dedent(text)
    for name, file in FILE.findall(shown):
        path = tmp_path / Path(file).name
        path.write_text("https://hooks.example/T/1" if name == "url_file" else f"whsec_{'A' * 43}=")
        shown = shown.replace(f'"{file}"', f'"{path}"')
    (tmp_path / "router.toml").write_text(shown)
    settings = load_settings(tmp_path / "router.toml", {})
    check_notifiers(settings.notify)
    check_forwards(settings, Catalogue.for_settings(settings))


def test_there_are_some() -> None:
    """The blocks are found, so that the test above tries something."""
    assert len(SHOWN) > 8

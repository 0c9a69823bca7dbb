"""Finding the subscriptions in a user's modules."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from config.errors import ConfigError
from workers import Subscription
from workers.loading import BrokenModule, load_subscriptions

GOOD = """
from workers import Subscription
first = Subscription("{name}-1", events=["*"])
second = Subscription("{name}-2", events=["*"])
alias = first
@first.handler
@second.handler
def handle(event): ...
"""
Write = Callable[..., str]


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Work in a folder of one's own, and forget afterwards what was imported from it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = dict(sys.modules)
    yield
    sys.modules.clear()
    sys.modules.update(before)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file and return its path."""

    def write(name: str, text: str = GOOD) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("{name}", path.stem))
        return str(path)

    return write


def names(*modules: str) -> list[str]:
    """Load, and return the names of what was found."""
    return [subscription.name for subscription in load_subscriptions(modules)]


def test_a_file_is_loaded_by_its_path(write: Write) -> None:
    """All subscriptions of a file, in their order, each once whatever its names."""
    assert names(write("mine_file.py")) == ["mine_file-1", "mine_file-2"]


def test_a_dotted_name_is_loaded_from_the_working_directory(write: Write) -> None:
    """A module beside the user needs no installation; what it shares with another is found once."""
    write("mine_package/__init__.py", "")
    write("mine_package/one.py")
    write("mine_package/two.py", "from mine_package.one import first")
    assert names("mine_package.one", "mine_package.two") == ["one-1", "one-2"]


def test_a_file_may_import_its_neighbours(write: Write) -> None:
    """A file in another folder finds the modules beside it."""
    write("deep/folder/mine_neighbour.py")
    assert names(write("deep/folder/mine_main.py", "from mine_neighbour import first, second")) == [
        "mine_neighbour-1",
        "mine_neighbour-2",
    ]


def test_several_modules_are_loaded_in_order(write: Write) -> None:
    """The order is that of the command line."""
    paths = [write("mine_b.py"), write("mine_a.py")]
    assert names(*paths) == ["mine_b-1", "mine_b-2", "mine_a-1", "mine_a-2"]


def test_a_module_that_is_not_there_is_a_mistake(write: Write) -> None:
    """A name without a module, or a path without a file, is named in the message."""
    write("mine_package/__init__.py", "")
    for name in ("mine_nothing", "mine_package.nothing", "mine_nothing.deeper"):
        with pytest.raises(ConfigError, match=name):
            names(name)
    with pytest.raises(ConfigError, match="no such file"):
        names("mine_nothing.py")
    with pytest.raises(ConfigError, match="no such file"):
        names("./")


def test_a_file_that_is_not_python_is_refused(write: Write) -> None:
    """A path to something else says what it should be."""
    with pytest.raises(ConfigError, match=r"must end in \.py"):
        names(write("mine.txt", "x"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import mine_missing_dependency", "ModuleNotFoundError: No module named 'mine_missing_dependency'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("(", "SyntaxError: "),
    ],
)
def test_an_error_within_the_module_is_shown_from_there_on(write: Write, text: str, reason: str) -> None:
    """What is wrong in the user's own module is told as that, with a traceback that begins in their file."""
    path = write("mine_broken.py", text)
    for name in ("mine_broken", path):
        with pytest.raises(BrokenModule) as caught:
            names(name)
        assert name in str(caught.value)
        assert reason in str(caught.value)
        assert path in caught.value.traceback
        assert "loading.py" not in caught.value.traceback
        assert "importlib" not in caught.value.traceback


def test_a_wrong_handler_of_a_file_is_named_as_its_author_knows_it(write: Write) -> None:
    """The name that a file is imported under is nobody's business."""
    text = "from workers import Subscription\ns = Subscription('s', events=['*'])\n@s.handler\ndef f(a, b): ..."
    path = write("mine_wrong.py", text)
    with pytest.raises(ConfigError, match=rf"handler mine_wrong\.f \({path}:3\) takes one argument"):
        names(path)


def test_a_module_without_a_subscription_is_a_mistake(write: Write) -> None:
    """Nothing to run is not what anybody meant."""
    with pytest.raises(ConfigError, match="no Subscription found"):
        names(write("mine_empty.py", "x = 1"))


def test_a_subscription_without_a_handler_is_a_mistake(write: Write) -> None:
    """It is found before anything starts."""
    text = "from workers import Subscription\ns = Subscription('lonely', events=['*'])"
    with pytest.raises(ConfigError, match="lonely"):
        names(write("mine_lonely.py", text))


def test_two_subscriptions_of_one_name_are_a_mistake(write: Write) -> None:
    """They would share one group and take events from each other."""
    with pytest.raises(ConfigError, match="same-1"):
        names(write("a/same.py"), write("b/same.py"))


def test_no_modules_are_no_subscriptions() -> None:
    """Nothing named, nothing found."""
    assert load_subscriptions([]) == []
    assert isinstance(Subscription, type)


def test_a_file_named_like_a_package_does_not_replace_it(write: Write) -> None:
    """`workers.py` is what many will call their file; `from workers import Subscription` in it must work."""
    assert names(write("workers.py")) == ["workers-1", "workers-2"]

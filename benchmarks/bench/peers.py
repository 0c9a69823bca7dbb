"""The peers' environments, each made once at the pinned versions.

Two are of Python, since arq needs an older redis-py than the others use, and one is of Node.
"""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["PINS", "Peers"]

PINS = Path(__file__).parents[1] / "peers"
"""Where the pinned versions are: of Python `python.txt` and `arq.txt`, of Node `package-lock.json`."""


class Peers:
    """The environments in a folder; `missing` says why one could not be made."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.missing: dict[str, str] = {}

    def python(self, name: str = "python") -> Path | None:
        """Return the interpreter of an environment, made if need be; None where that is not possible."""
        home, pins = self._folder / f"venv-{name}", PINS / f"{name}.txt"
        pip = (str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        commands = [
            (sys.executable, "-m", "venv", "--clear", str(home)),
            (*pip, "--require-hashes", "--no-deps", "-r", str(pins)),
        ]
        return self._made(name, home, pins, commands, home / "bin" / "python")

    def node(self) -> Path | None:
        """Return the folder with the installed Node packages, made if need be; None where that is not possible."""
        home = self._folder / "node"
        if shutil.which("npm") is None:
            self.missing["node"] = "npm is not on the PATH"
            return None
        home.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(PINS / name, home / name)
        install = ("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(home))
        return self._made("node", home, PINS / "package-lock.json", [install], home)

    def _made(self, name: str, home: Path, pins: Path, commands: list[tuple[str, ...]], result: Path) -> Path | None:
        stamp, digest = home / ".pins", hashlib.sha256(pins.read_bytes()).hexdigest()
        if name in self.missing:
            return None
        if not (stamp.exists() and stamp.read_text() == digest):
            print(f"  installing the peers of {pins.name}")
            try:
                for command in commands:
                    _run(command)
            except (OSError, subprocess.CalledProcessError) as error:
                self.missing[name] = f"{pins.name} could not be installed: {_words(error)}"
                return None
            stamp.write_text(digest)
        return result


def _run(command: tuple[str, ...]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _words(error: Exception) -> str:
    said = getattr(error, "stderr", "") or str(error)
    return str(said).strip()[-300:]

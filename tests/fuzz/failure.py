"""A case that broke a rule, and the file that it is kept in, to be tried again."""

import base64
import json
from pathlib import Path

__all__ = ["Failure", "load"]


class Failure(Exception):
    """What broke which rule: `data` are the bytes of a body or of a whole connection."""

    def __init__(self, target: str, seed: int, number: int, problem: str, data: bytes) -> None:
        super().__init__(f"{target}, seed {seed}, case {number}: {problem}")
        self.target = target
        self.seed = seed
        self.number = number
        self.problem = problem
        self.data = data

    def save(self, folder: Path) -> Path:
        """Write it down; return where."""
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{self.target}-{self.seed}-{self.number}.json"
        known = {"target": self.target, "seed": self.seed, "case": self.number, "problem": self.problem}
        file.write_text(json.dumps({**known, "data": base64.b64encode(self.data).decode()}, indent=2))
        return file


def load(file: Path) -> Failure:
    """Return a case that was written down."""
    saved = json.loads(file.read_text())
    data = base64.b64decode(saved["data"])
    return Failure(saved["target"], saved["seed"], saved["case"], saved["problem"], data)

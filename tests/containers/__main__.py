"""The command line: `python -m containers`, with the folder of all tests on PYTHONPATH; see docs/deploy.md.

Builds the image, brings compose.yaml up under a project name of its own, restarts every container under load, kills
one, and compares what was acknowledged with what was handled, id by id. Ends with 1 when a figure is wrong.
"""

import argparse
import asyncio
import contextlib
import shlex
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from containers.deployment import ROOT, Deployment, Failed
from containers.proof import Proof
from faults.load import SECRET

_PUBLISHERS = ("visma-net-financial", "visma-net-erp-salesorderservice", "visma-net-journal-transaction")


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the proof; return 0 when every figure is right, 1 when one is not."""
    parser = argparse.ArgumentParser(prog="containers", description="Prove compose.yaml: nothing is lost.")
    parser.add_argument("--compose", default="docker compose", help="the command that reads compose.yaml")
    parser.add_argument("--engine", default="docker", help="the command that runs containers")
    parser.add_argument("--port", type=int, default=18080, help="the port to publish")
    parser.add_argument("--rate", type=float, default=60.0, help="requests a second")
    parser.add_argument("--keep", action="store_true", help="leave the containers running")
    options = parser.parse_args(arguments)
    try:
        complaints = asyncio.run(_prove(options))
    except (Failed, TimeoutError) as error:
        complaints = [str(error) or "something did not become ready in time"]
    for complaint in complaints:
        print(f"WRONG  {complaint}")
    print("FAILED" if complaints else "PROVED: nothing was lost")
    return 1 if complaints else 0


async def _prove(options: argparse.Namespace) -> list[str]:
    folder = Path(tempfile.mkdtemp(prefix="er-containers-"))
    deployment = Deployment(shlex.split(options.compose), options.engine, _environment(folder, options.port))
    proof = Proof(deployment, folder / "ledger", f"http://127.0.0.1:{options.port}", options.rate, _say)
    try:
        _prepare(folder)
        return await proof.run()
    finally:
        if not options.keep:
            with contextlib.suppress(Failed):
                await deployment.compose("down", "--volumes", "--timeout", "5")
            shutil.rmtree(folder)


def _environment(folder: Path, port: int) -> dict[str, str]:
    return {
        "COMPOSE_PROJECT_NAME": "event-router-proof",
        "ROUTER_IMAGE": "localhost/visma-event-router:proof",
        "INGRESS_BIND": "127.0.0.1",
        "INGRESS_PORT": str(port),
        "SECRETS_DIR": str(folder / "secrets"),
        "WORKER_FOLDER": str(folder / "workers"),
        "WORKER_MODULE": "handlers.py",
        "PROOF_LEDGER": str(folder / "ledger"),
    }


def _prepare(folder: Path) -> None:
    """Lay out what the containers mount; their users are others, and must be able to read it, or to write it."""
    for name in ("secrets", "workers", "ledger"):
        (folder / name).mkdir()
    folder.chmod(0o755)
    (folder / "ledger").chmod(0o777)
    for file in (ROOT / "tests/containers/handlers.py", ROOT / "tests/faults/ledger.py"):
        shutil.copy(file, folder / "workers")
    for publisher in _PUBLISHERS:
        file = folder / "secrets" / publisher
        file.write_text(f"{SECRET}\n")
        file.chmod(0o644)


def _say(step: str, line: str) -> None:
    print(f"{step:<11}{line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())

"""What a forked process does at its end, whatever other threads of its parent held when it was forked."""

import subprocess
import sys
from pathlib import Path

import pytest

BEGIN = """
import os, select, signal, sys, threading
from concurrent.futures import ThreadPoolExecutor
from router.process import forking
from router.cli.command import stdio

forking._LAST_WORDS = float(sys.argv[2])
forking.install()

def note(text):
    os.write(notes, text.encode() + b" ")

def code_of(pid):
    ended = os.pidfd_open(pid)
    if not select.select([ended], [], [], 20)[0]:
        os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

notes = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
worker = os.getpid()
"""


def notes(folder: Path, script: str, last_words: float = 20.0) -> list[str]:
    """Run a script; return what its processes noted."""
    file = folder / "notes"
    ended = subprocess.run(
        [sys.executable, "-c", BEGIN + script, str(file), str(last_words)], capture_output=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr.decode()
    return file.read_text().split()


def test_a_forked_process_has_standard_output_for_itself(tmp_path: Path) -> None:
    """It writes what it prints, and nothing of its parent's, while a thread of its parent holds standard output."""
    script = f"""
_, full = os.pipe()
os.dup2(full, 1)
stdio.adopt(frozenset())
threading.Thread(target=lambda: print("parent" * 100_000, flush=True), daemon=True).start()
while select.select([], [full], [], 0)[1]:
    pass

def work():
    if child := os.fork():
        return child
    os.dup2(os.open({str(tmp_path / "out")!r}, os.O_WRONLY | os.O_CREAT), 1)
    print("child")

note(str(code_of(forking.contained(work))))
os._exit(0)
"""
    assert notes(tmp_path, script) == ["0"]
    assert (tmp_path / "out").read_text() == "child\n"


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("sys.stdout.close()", 0),
        ("sys.stdout = sys.stderr = None", 0),
        ("sys.stdout = open('/dev/full', 'w'); print('mine')", 120),
        ("sys.excepthook = None; raise ValueError", 1),
        ("sys.stderr = None; sys.exit('no')", 1),
        ("sys.exit(-1)", 255),
        ("sys.exit(10 ** 30 + 7)", 7),
    ],
)
def test_a_forked_process_ends_though_it_can_say_nothing(tmp_path: Path, ending: str, code: int) -> None:
    """Nothing that a handler does to the streams, to the hook or to the code lets its child go on."""
    script = f"""
def work():
    if child := os.fork():
        return child
    {ending}

try:
    note(str(code_of(forking.contained(work))))
finally:
    if os.getpid() != worker:
        note("second")
        os._exit(99)
"""
    assert notes(tmp_path, script) == [str(code)]


def test_a_forked_process_ends_though_its_last_words_hang(tmp_path: Path) -> None:
    """A stream of a handler's own, which a thread of the parent holds, delays its child's end, and not for ever."""
    script = """
class Held:
    closed = False
    lock = threading.Lock()
    def flush(self):
        self.lock.acquire()

def work():
    if child := os.fork():
        return child
    sys.exit(7)

sys.stdout = Held()
Held.lock.acquire()
note(str(code_of(forking.contained(work))))
Held.lock.release()
"""
    assert notes(tmp_path, script, last_words=0.05) == ["7"]


@pytest.mark.parametrize(
    ("ending", "code"), [("return", 0), ("sys.exit(7)", 7), ("raise ValueError", 1), ("os._exit(5)", 5)]
)
def test_a_process_forked_in_a_pool_of_a_handler_ends_with_its_work(tmp_path: Path, ending: str, code: int) -> None:
    """It neither waits for work of the pool, which nobody gives it, nor does what waits there a second time."""
    script = f"""
held = threading.Event()

def work():
    held.wait()
    if child := os.fork():
        return code_of(child)
    {ending}

with ThreadPoolExecutor(1) as pool:
    code = pool.submit(work)
    pool.submit(note, "next")
    held.set()
note(str(code.result()))
"""
    assert notes(tmp_path, script) == ["next", str(code)]


def test_a_forked_process_may_fork_and_have_pools(tmp_path: Path) -> None:
    """What it forks in turn ends with its own work, in a pool of its own, too."""
    script = """
def twice():
    if child := os.fork():
        return code_of(child)
    if child := os.fork():
        sys.exit(code_of(child) + 1)
    with ThreadPoolExecutor(1) as pool:
        sys.exit(pool.submit(once).result() + 1)

def once():
    if child := os.fork():
        return code_of(child)
    sys.exit(3)

with ThreadPoolExecutor(1) as pool:
    note(str(pool.submit(twice).result()))
"""
    assert notes(tmp_path, script) == ["5"]

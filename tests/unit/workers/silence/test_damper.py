"""What flickers is not said: it must last for a while, and be gone for a while."""

from workers.incidents import Incident
from workers.silence.damper import Damper

IDLE = Incident("idle", "sync", 1, "", "", "")
SILENCE = Incident("silence", "p", 1, "", "", "")


def test_what_flickers_is_not_said() -> None:
    """A subscription that is idle for some minutes is; one that is so now and then never is."""
    now = [0.0]
    damper = Damper(lambda: now[0])
    for _ in range(10):
        now[0] += 200
        assert damper.lasting([IDLE]) == []
        now[0] += 10
        assert damper.lasting([]) == []
    damper.lasting([IDLE])
    now[0] += 300
    assert damper.lasting([IDLE]) == [IDLE]


def test_what_is_gone_for_a_moment_is_not_over() -> None:
    """It is over only once it has not been so for some minutes."""
    now = [0.0]
    damper = Damper(lambda: now[0])
    damper.lasting([])
    assert damper.over([IDLE]) == []
    now[0] += 100
    damper.lasting([IDLE])
    assert damper.over([IDLE]) == []
    damper.lasting([])
    assert damper.over([IDLE]) == []
    now[0] += 120
    damper.lasting([])
    assert damper.over([IDLE]) == [IDLE]


def test_silence_is_said_at_once() -> None:
    """The rule of silence is slow by itself: nothing is added to it."""
    damper = Damper(lambda: 0.0)
    assert damper.lasting([SILENCE]) == [SILENCE]
    damper.lasting([])
    assert damper.over([SILENCE]) == [SILENCE]

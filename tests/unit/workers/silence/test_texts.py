"""Rules of what is said of incidents."""

import shlex

from workers.incidents import SUBJECT
from workers.silence import texts
from workers.silence.ledger import Silence
from workers.silence.texts import silence


def test_a_command_is_safe_to_be_copied() -> None:
    """Whatever a sender calls its company, the command names it as one word of a shell."""
    subject = "visma-net-financial/7; rm -rf ~ $(id) `id`"
    command = silence(Silence(subject=subject, last=0, after=3600)).command
    assert shlex.split(command) == ["event-router", "incidents", "mute", "silence", subject]
    assert silence(Silence(subject="p/7", last=0, after=3600)).command == "event-router incidents mute silence p/7"


def test_a_quota_is_called_as_its_incident_is_kept() -> None:
    """One of a long name would otherwise be taken for over at each look, and begin again."""
    subject = texts.quota("erp", "company" * 40, 0).subject
    assert subject == texts.named("erp", "company" * 40) == subject[:SUBJECT]

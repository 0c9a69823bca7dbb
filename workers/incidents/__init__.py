"""Incidents: what goes wrong for a while, said once when it begins and once when it is over."""

from workers.incidents.incident import ARCHIVE, DRIFT, GONE, KINDS, SUBJECT, WATCHED, Incident, notice_of
from workers.incidents.incidents import Incidents, Muted

__all__ = ["ARCHIVE", "DRIFT", "GONE", "KINDS", "SUBJECT", "WATCHED", "Incident", "Incidents", "Muted", "notice_of"]

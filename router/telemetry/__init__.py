"""Logs, metrics that cost little, traces, and the name of a process."""

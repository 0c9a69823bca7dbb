"""Telling people of incidents: each notifier of the settings reads the notices, and hands them over on its channel."""

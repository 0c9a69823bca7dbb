"""Forwards: subscriptions of the settings, whose events are posted to a URL."""

"""Subscriptions with a key: in order and one at a time for each key, merged where wanted, fair to every company."""

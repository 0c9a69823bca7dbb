"""The commands `subscriptions …`."""

"""Users' modules: loaded once each, and the subscriptions that they hold."""

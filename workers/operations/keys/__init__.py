"""The keys of keyed subscriptions: how they stand, and what operators change of them."""

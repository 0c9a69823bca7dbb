"""What the store says of subscriptions: their groups, pauses and consumers."""

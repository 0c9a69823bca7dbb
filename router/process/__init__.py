"""What every process of ours has: signals, supervised children, reload, the operations port."""

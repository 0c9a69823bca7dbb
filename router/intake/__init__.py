"""From verified items to durable ones: group commit, spool and drain."""

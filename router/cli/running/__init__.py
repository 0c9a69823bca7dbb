"""The commands `up`, `ingress` and `worker`."""

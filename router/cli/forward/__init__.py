"""The commands on forwards: running them, listing them, and trying one."""

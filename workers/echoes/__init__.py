"""Echoes: events that only repeat what writes of ours have changed in the ERP."""

"""Sweeping an ERP for changes that no webhook reported: a sweep of one company, and who does it when."""

"""`notify`: who hears of incidents."""

"""What commands print: JSON, records, tables."""

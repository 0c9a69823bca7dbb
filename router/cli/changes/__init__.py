"""What all changing commands share."""

"""Networks to be members."""

"""Training and judging of the embedded model."""

"""What a take needs of a device's memory, and where each component sits so that it fits."""

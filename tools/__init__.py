"""For developers: not in what artists install."""

"""Weights into memory: this room and those above it use torch."""

"""Writes files whole or private, reads files that strangers may have written, and measures how fast they come."""

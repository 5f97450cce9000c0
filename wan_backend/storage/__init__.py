"""Writes files whole or private, and reads files that strangers may have written."""

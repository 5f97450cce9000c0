"""The small model that comes with the backend. This module imports nothing."""

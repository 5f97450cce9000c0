"""The backend of Wan VSE: a server without torch, and workers that run the Wan models.

This module imports nothing, so that any process can ask for the version in no time.
"""

__version__ = "0.1.0"

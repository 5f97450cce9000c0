"""Servers for the fault tests, as in the server's own tests."""

from tests.wan_backend.server.conftest import media, models_folder, serve

__all__ = ["media", "models_folder", "serve"]

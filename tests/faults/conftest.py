"""Servers for the fault tests, as in the server's own tests."""

from tests.wan_backend.conftest import media, models_folder
from tests.wan_backend.server.conftest import serve

__all__ = ["media", "models_folder", "serve"]

"""Makes the backend's own Python environment, apart from Blender's.

Standard library only, and it must run under any Python from 3.11 on: Blender's "Set up backend" button and build.py
run it before anything is installed. `python -m wan_backend.environment plan|create` speaks SETUP_EVENTS of the
protocol on stdout.
"""

"""The process that runs the models: `python -m wan_backend.worker`."""

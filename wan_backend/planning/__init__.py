"""A request and a model become a plan: every value settled, every change noted.

draft           a plan in the making, and how steps go on with it
plan_steps      the steps from a request to a plan for a model
machine_steps   the steps after them, with what is on this machine: memory, files, LoRAs
sizes           the size that a model makes for the one that was asked for
lengths         how many frames a model makes, and how many of them are its neighbors' own
needed_sources  whether the sources are there that the task needs
"""

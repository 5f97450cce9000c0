"""`python -m wan_backend bench`: our speed and memory beside stock diffusers', from one run.

This module imports nothing heavy; the benchmark itself needs torch.

command             its command line and its course
engines             the two that are compared, with one face
caps                takes under a hard cap of the card's memory
speed_table         phase by phase and in all, on one card
table_rows          the takes that it measures
table_errors        how far both are from float32
first_step          from a request to the first step
cards               a take on one card and on several
random_other_card   the process of another one, for random weights
training_steps      steps of a training, beside a plain loop
slow_link           from which speed of the bus on block offload is free
comparison          the table and JSON of a run
terminal            what is written while it measures
figures             the file that any of them writes its figures to
time_and_memory     measures a piece of work
random_weights      full-size models of random weights
tiny_checkpoint     a tiny model of random weights
"""

from __future__ import annotations


def main(arguments: list[str]) -> int:
    """Measure, print a table; the exit code."""
    from .command import run  # brings torch

    return run(arguments)

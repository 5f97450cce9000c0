"""From a request to frames: `prepare` makes Conditions, `denoise` makes latents, `decode` makes pictures.

One prepare for each task, one denoise and one decode for all. May import torch, models and protocol; never
frames, worker or server. This module imports nothing.
"""

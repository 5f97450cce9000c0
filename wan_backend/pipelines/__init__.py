"""From a request to frames: `prepare` makes Conditions, `denoise` makes latents, `decode` makes pictures.

Each task has its own prepare (`tasks.PREPARE`); one denoise and one decode serve all of them.
"""

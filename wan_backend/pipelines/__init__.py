"""From a request to frames: `prepare` makes Conditions, `denoise` makes latents, `decode` makes pictures.

Each task has its own prepare (`task_conditions.PREPARE`); one denoise and one decode serve all of them.
"""

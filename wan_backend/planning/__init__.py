"""A request and a model become a plan: every value settled, every change noted.

draft                a plan in the making, and how steps go on with it
plan_steps           the steps from a request to a plan for a model
machine_steps        the steps after them, with what is on this machine: memory, files, LoRAs
training_steps       a request for a training becomes a plan
finishing            a finished take that is to become larger
sizes                the size that a model makes for the one that was asked for
lengths              how many frames a model makes, and how many of them are its neighbors' own
handles              how many handle frames a take gets at each end
looks                the requests of looks: a take as a small draft, or its beginning
words_over_time      the words of a take for their own time, as far as it can follow them
kept_pictures        which of the model's frames are pictures at chosen times
camera_moves         whether the camera that a take follows can be followed
needed_sources       whether the sources are there that the task needs
skipped_work         the work that a take leaves out, as far as it can be
several_cards        how several cards share a take
step_cache_schedule  which steps may reuse what others computed
calibrations         what was measured of models for the step cache, in a file
measured_times       how long takes took on this machine, in a file
measured_ways        how quick they were in each way in which cards share them, in a file
entry_file           a file of what was measured, as entries
step_counts          how many steps are made and guided at a strength
unusable_files       what is known to be wrong with files of sources
"""

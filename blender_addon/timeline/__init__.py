"""The sequencer's timeline: strips, channels, holes and lengths. Knows bpy; knows no job queue and no backend.

compat       every difference between the versions of Blender
identity     the custom properties that tie a strip to its job
channels     which channel is free
holes        which stretch is empty
length       scene frames and seconds, at the scene's exact rate
selection    what is selected, and the task that it implies
aims         which takes a task makes of it (aim, aim_over, aim_beside): range, channel, what has to be seen
provenance   what a placeholder remembers of the strips that its take is made from
following    the placeholder, to where these strips are now
movie_head   what a movie's file says of its pictures (movie_facts; by container movie_mp4, movie_matroska)
placement    a placeholder onto the timeline, and the take in its place
text_prompt  the prompt that a text block or a text strip holds
"""

"""The sequencer's timeline: strips, channels, gaps and the files that strips play. Knows no job queue and no backend.

compat           what differs between the versions of Blender
strip_columns    many strips at once: as columns of numbers, the selected ones, all of a scene
animation        which curves, drivers and tracks change strips
identity         the custom properties that tie a strip to its job
untrusted        what a .blend holds, read as untrusted input
scene_format     the scene's frame size and frame rate, and the frames that Blender can show
selection        what is selected, the task that it implies, and the prompts that texts hold
free_space       free channels, and gaps between strips
targets          which takes a task makes: their frames, their channel and the footage that they need
footage          that footage: read from the strip's own files, or to be rendered
layers           what the preview shows together with a strip
strip_media      the files and scenes that strips play
strip_transform  where a strip's pictures lie in the frame
picture_files    whether picture files are there, and what their first bytes say
movie_head       what the head of a movie file tells about its pictures
movie_codecs     how many bits a movie's samples have
provenance       what a placeholder remembers of the strips that its take is made from, and how it follows them
seen_sources     what a take's sources were when it was asked for, as its strip keeps it
source_looks     what they are made of now: strips, and the files and scenes that these play
scene_digests    what a scene strip shows: the camera, and the objects in its view
node_digests     what is behind these: nodes, particles, simulations, files
plain_values     values of Blender's data as digests take them, and the curves that move them
take_pictures    which picture a take shows at a frame, and where in the frame it lies
take_strips      puts placeholders onto the timeline, and takes in their place
strip_mark       what a strip says of itself: generated, by which model
strip_takes      the takes that a strip keeps, and those that are being made for it
swap_media       lets a strip play other files in place
cut_description  a timeline as a cut for other programs
cut_layout       a cut of other programs onto a timeline
path_rules       which path lies in which folder
"""

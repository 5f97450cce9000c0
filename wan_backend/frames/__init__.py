"""From source files to the model's pictures, and from decoded pictures to a take's files.

Processes that only read media import it, so it stays free of torch.

source_frames      a source's frames as the model's pictures
movie_frames       single frames of a movie, found exactly
movie_length       how long a movie is, by its header
movie_copy         pictures in files as one movie
still_pictures     still pictures, decoded within a budget of memory
color              RGB by the color tags of a file
resampling         a source's picture to its place in the model's picture
clip_frames        which frames of its sources a training's clips are cut of
schedule           which of the model's frames shows which of the scene's; Conformer makes the take's of the model's
motion             pictures between two pictures
seam               made frames take the color and the motion of kept ones
take_writing       a take's media
marks              what a take's files say of how they came to be, and what its sources say
thumbnail_process  small pictures of sources, in a process of its own
filmstrip_process  takes in a few small pictures, in a process of its own
upload_process  what was sent to the page in a browser, looked at in a process of its own
sent_frames_process  the frames that a take reads, for another machine, in a process of its own
process_limits     limits of the memory of such a process
unreadable_source  the error of a source that can't be read
"""

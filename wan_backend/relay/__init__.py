"""The near end of a server on another machine: to Blender a server, to that server its client.

Needs the standard library alone, so Blender's own Python can run it. The far end is reached by a command line, such as
`ssh box wan-backend serve`: nothing listens anywhere, and whatever ssh asks for is ssh's own configuration.

relay       the process: its start, main loop, and what it does with each of Blender's calls
line        the far server's process: started, greeted, watched, lost, started again
far_words   what ssh and others say when they fail, in sentences of ours
places      which folder here stands for which folder there
shared_folders  whether such a pair is one folder
asked       what was asked for here, as it was
extracting  the frames that a take reads, in place of long footage
contents    the files of a request, and their hashes
sending     brings a request's files over, and then the request
fetching    brings takes and previews home
trainings   brings home what trainings bring
incoming    what both have of it: one file after another, piece by piece
pieces      how large the pieces are, by how quickly they are answered
line_test   what the Test button finds
"""

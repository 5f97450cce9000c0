"""Jobs, from the click to the take on the timeline.

session          the one Session of this Blender: server, jobs and open file, brought forward by one timer
blender_handlers Blender's events (load, save, undo, render), passed on to the session
request, orders  what the panel's settings and the selection ask for: TakeRequests
sourcing         jobs whose sources are rendered before the server gets them
rendering        the Blender in the background that renders them
journal, lease   such jobs on the disk, and which Blender that lives owns them
server_proxy     the server as far as it is known here, and its parts:
                 job_list, outbox, server_queries, known_downloads
open_file        the open file's strips and jobs
placing          which take goes where, and when that is allowed
project          what the .blend itself says: which jobs are its own, and how which of them ended
strangers        jobs that a .blend names and that nobody here knows
script_trust     whether the open file's own scripts may run
collect          copies takes beside the .blend
lora_rows        the panel's list of LoRAs
folders          where this extension may write
"""

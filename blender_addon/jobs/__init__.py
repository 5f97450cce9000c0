"""Jobs, from the click to the take on the timeline.

session          the one Session of this Blender: server, jobs and open file, driven by one timer
blender_handlers Blender's events (load, save, undo, render), passed on to the session; whether strips may be changed
planned_takes    the takes that a click asks for, by the panel's settings and the selection
planned_training  the training that a click asks for, by the panel's list of strips
request          makes a TakeRequest of the settings, the prompt and the target
sourcing         jobs whose sources are rendered before the server gets them
written_camera   the camera that was written down for a take, put into its request
rendering        renders those sources with a Blender in the background
live             small drafts of what the panel shows, while nothing else is made
looked_at        what Blender says of these: their sources, and whether it has something better to do
journal, lease   such jobs on the disk, and which Blender that lives owns them
server_proxy     the server as this side knows it, and its parts:
                 job_list, outbox, server_queries, filmstrips, reels, known_downloads
oldest_generation  spares Python's garbage collector the jobs of a long list
open_file        the open file's strips and jobs
strip_look       a look through its strips, in slices
pending_takes    what placeholders and other strips of it wait for
placeholder_holds  holds jobs whose placeholder is gone
queue_pause      whether the queue is paused, also the next time
queue_time       how long the queue will take
stale_takes      which takes have sources that changed, found in slices, and its parts:
                 source_records (what a source is now, and what differs), file_digests (whether files are as they were)
rebuilding       makes them anew, behind all else in the queue, and its parts:
                 rebuild_run (how far each is), kept_runs (that on the disk), rebuild_report
takes_again      how a take of a strip was made, and how it is made once more
placing          puts finished takes on the timeline
project          what the .blend itself records: which jobs are its own, and which of them ended
unknown_jobs     jobs that a .blend names and that neither this session nor its server knows
script_trust     whether the open file's own scripts may run
file_versions    names of files that are written again and again
interchange      cuts out to other programs and in from them
take_library     all takes that lie on the disk, with an index
film_takes       those of the open film: where they lie, which it uses
cleaning         takes that nothing uses, into the trash and back
other_films      what other .blend files beside the film use
take_folders     folders of takes: told from others, moved, removed
take_media       whether the files of takes are there, as kept answers
lost_takes       takes that are not where the film has them, found elsewhere
collect          copies takes and footage beside the .blend
film_footage     the film's other media: what lies elsewhere, what is missing
collect_report   the list of what a colleague needs
presets          presets and the last prompts, for all files
lora_rows        the panel's list of LoRAs
card_choice      which graphics cards may be used
folders          where this extension may write
"""

"""Jobs, from the click to the take on the timeline.

session          the one Session of this Blender: server, jobs and open file, driven by one timer
blender_handlers Blender's events (load, save, undo, render), passed on to the session; whether strips may be changed
planned_takes    the takes that a click asks for, by the panel's settings and the selection
request          makes a TakeRequest of the settings, the prompt and the target
sourcing         jobs whose sources are rendered before the server gets them
rendering        renders those sources with a Blender in the background
journal, lease   such jobs on the disk, and which Blender that lives owns them
server_proxy     the server as this side knows it, and its parts:
                 job_list, outbox, server_queries, known_downloads
open_file        the open file's strips and jobs
pending_takes    what placeholders and other strips of it wait for
placing          puts finished takes on the timeline
project          what the .blend itself records: which jobs are its own, and which of them ended
unknown_jobs     jobs that a .blend names and that neither this session nor its server knows
script_trust     whether the open file's own scripts may run
collect          copies takes beside the .blend
lora_rows        the panel's list of LoRAs
folders          where this extension may write
"""

"""The server: answers a client on stdin and stdout, keeps the queue, and lives its worker's life.

serve           start, main loop, leaving
standard_io     the threads at stdin and stdout, and what they put into the inbox
handlers        one method for each method of the protocol
planner         a request becomes a Plan, with the models that are here
job_runner      the queue's jobs go to the worker and come back
worker_life     start, cancel, kill, breaker
worker_process  one worker as a child process
downloads       models being fetched, one after another
fetch_process   the process that speaks to the hub, as a child
download_records  the downloads on the disk
death           how a process ended, in words
doctor          what is here, what is missing, how to mend it
log_files       where the logs are

All state belongs to the main thread; other threads only put messages into the inbox. May import models, job_queue
and protocol; never torch, diffusers or numpy: the server answers within a second of its start.
"""

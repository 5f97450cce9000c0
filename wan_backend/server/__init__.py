"""The server: answers a client on stdin and stdout, keeps the queue, and looks after its workers.

serve                 start, main loop, end
stay                  a server that outlasts its line, for a client on another machine
standard_io           the threads at stdin and stdout
inbox                 the events that other threads put into the main loop
handlers              one method for each method of the protocol
planning_queue        makes plans on threads of their own, so that a slow disk delays nothing else
planner               makes a plan from a request and the models that are here
job_runner            gives the queue's jobs to the workers
seats                 the workers' places, one for each card, and which of them is the next job's
cards                 the graphics cards that there are for them
looks                 small drafts of what is being looked at, while there is no job
worker_life           start, cancel, kill, and the limit on restarts
worker_pulse          judges when a worker hangs
worker_process        one worker as a child process
cluster_line          the line to a Ray cluster, and the workers at its far end
process_exit          describes how a process ended
graphics_card         the device that takes are made on, for plans
download_queue        the downloads of models, one after another
download_records      the downloads' files on the disk
download_process      the process that speaks to the hub, as a child
thumbnail_requests    small pictures of sources, made by a child process
filmstrip_requests    takes in a few small pictures, made by a child process
media_requests        media of a client on another machine: contents that it sends, takes that it fetches
interchange_requests  cuts, written and read by a child process
diagnosis             what is here, what is missing, how to fix it
log_files             the server's log and those of its children

All state belongs to the main thread; other threads only put messages into the inbox.
"""

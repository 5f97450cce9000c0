"""The server: answers a client on stdin and stdout, keeps the queue, and looks after its worker.

serve               start, main loop, end
standard_io         the threads at stdin and stdout, and what they put into the inbox
handlers            one method for each method of the protocol
planning_queue       plans and the models' state, made on threads of their own, so that a slow disk holds nothing else
planner             a request becomes a Plan, with the models that are here
job_runner          the queue's jobs go to the worker and come back
worker_life         start, cancel, kill, and the limit on restarts
worker_pulse        when a worker counts as hung; vital_signs: what the system says of its process
worker_process      one worker as a child process; process_exit: how it ended, in words
graphics_card       what the worker runs on, for plans
download_queue      models being downloaded, one after another; download_records: what the disk says of them
fetch_process       the process that speaks to the hub, as a child
thumbnail_requests  small pictures of sources, made by a child process
diagnosis           what is here, what is missing, how to fix it
log_files           where the logs are

All state belongs to the main thread; other threads only put messages into the inbox.
"""

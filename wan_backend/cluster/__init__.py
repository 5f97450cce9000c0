"""The far end of a worker's pipe, on a Ray cluster. The server starts `python -m wan_backend.cluster` for `--ray`.

__main__   what the server starts, and `doctor --ray` with --examine
carrier    joins the cluster and carries the lines of all workers between the server and their actors
placing    asks the cluster for a place for a worker: which resources, which nodes not
carried    one worker: finds it a place, carries its lines, notices its end
actor      what Ray starts on a node: compares versions before it imports anything of ours
far_end    on the node: the ordinary worker as a child process, and its lines as they are asked for
nodes      what is known of the nodes, in words
examination  what `doctor --ray` says

Ray is imported here alone. On the node nothing speaks to the worker but its own pipe.
"""

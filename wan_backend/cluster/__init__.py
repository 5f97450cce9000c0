"""The far end of a worker's pipe, on a Ray cluster. The server starts `python -m wan_backend.cluster` for `--ray`.

carrier      joins the cluster and carries the lines of all workers between the server and their actors
carried      one worker: finds it a place, carries its lines, notices its end
placing      asks the cluster for a place for a worker: which resources, which nodes not
nodes        what is known of the nodes, in words
actor        what Ray starts on a node: compares versions before it imports anything of ours
far_end      on the node: the ordinary worker as a child process, and its lines as they are asked for
examination  what `doctor --ray` says of the cluster

`doctor --ray` starts it with --examine.

Ray is imported here alone. On the node nothing speaks to the worker but its own pipe.
"""

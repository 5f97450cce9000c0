"""`python -m wan_backend ...`: the backend for a person at a terminal.

arguments    the verbs and their flags
serve_child  a server of one's own, spoken to over the same protocol as Blender's
generate     a prompt becomes a file
models       what there is; fetching one
doctor       what is missing, how to fix it

What a verb is asked for goes to stdout; progress and logs go to stderr. May import server, models and protocol.
"""

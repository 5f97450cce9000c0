"""The queue: which jobs there are, in which state, kept on disk so that no kill loses one.

durable_file  JSON files that are whole or not there
store         the job folders: request.json and state.json
owners        which live server owns which jobs
transitions   which state may follow which
jobs          the queue itself, in memory and on disk

May import the protocol and filelock; nothing of the server, no torch.
"""

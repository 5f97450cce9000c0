"""The queue: which jobs there are, in which state, kept on disk so that no kill loses one.

durable_file  JSON files that are whole or not there
store         the job folders: request.json, plan.json and state.json
reading       what those files say, whatever is wrong with them
owners        which live server owns which jobs
adoption      the jobs of servers that died, found on the disk
adopter       has them looked for while the queue goes on
writer        what goes to the disk, beside the main thread
saving        what is on its way there
outcome       what came of something, as an answer
rows          the order in which jobs are listed, and its pages
transitions   which state may follow which
jobs          the queue itself, in memory and on disk

May import the protocol and filelock; nothing of the server, no torch.
"""

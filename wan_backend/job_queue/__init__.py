"""The queue of jobs, kept on disk so that no kill loses one.

queue         the queue as the server uses it: its pages, turns, the worker's reports, jobs taken over
client_calls  what clients change: submit, retry, settle, clear
job_table     the jobs in memory: every change of a state is checked, written and reported here
job           a job in memory, and which state may follow which
job_order     the orders in which jobs are listed and get their turns
store         the job folders: request.json, plan.json and state.json
reading       reads those files, whatever is wrong with them
take_files    the files of a job's take in its media folder
owners        locks that say which live server owns which jobs
adoption      finds the jobs of servers that died and takes them over, beside the queue
saving        tracks the writes that are on their way to the disk
writer        writes to the disk, on the caller's thread or its own
"""

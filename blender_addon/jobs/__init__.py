"""Jobs from the click to the take on the timeline. May import timeline, backend and the protocol.

request    what the panel says, as a TakeRequest
orders     what it says with what is selected: the takes that one click asks for
sourcing   jobs whose sources are rendered before the server gets them (rendering; journal, on the disk)
tracker    what is going on with every job; its `tick` is the add-on's only timer
landing    which take goes where, and when that is allowed
open_file  the open file's strips and jobs
ends       which jobs' ends the .blend itself knows
server     what the server knows and is still to be told (job_list, details, outbox, planner)
book       what this session knows of the open file's jobs
handlers   loading, saving, undo and render, as they happen in Blender
collect    copies takes beside the .blend
project    which file a job belongs to
folders    where this extension may write
"""

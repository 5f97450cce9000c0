"""The backend's processes: how they are found, started, talked to, watched and set up. Nothing here knows bpy.

launch_command  which Python runs, with which arguments and environment
child_process   a child whose stdin is a pipe and whose stdout is a file that is read as it grows
output_file     that file; what was read of it takes no more room on the disk
client          the calls to a child, and its answers and events
connection      the server's life: started, greeted, watched, lost, restarted
reporting_child a child that reports how far it is
machine_test    tests the backend of this or another machine
setup           makes the backend's environment
"""

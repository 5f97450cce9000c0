"""The backend's process as the add-on sees it: how to start it, talk to it, set it up. No bpy anywhere in here.

command     which Python, with which arguments and environment
process     a child whose stdin is a pipe and whose stdout is a file that is read as it grows
output_file that file, which gives back to the disk what was read
client      what is said to a child and heard of it
pulse       whether a server still lives
connection  starting, greeting, losing and restarting it
setup       making its environment
"""

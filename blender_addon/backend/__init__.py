"""The backend's process as the add-on sees it: how to start it, talk to it, set it up. No bpy anywhere in here.

command     which Python, with which arguments and environment
process     a child whose stdin is a pipe and whose stdout is a file that is read as it grows
client      requests with ids and answers, events, timeouts
connection  starting, greeting, losing and restarting it
setup       making its environment
"""

"""`wan-backend web`: a page for people without Blender, whose jobs stand in the same queue. Needs the extra `web`.

command      the verb: its folder, its socket, its end
page         the page, made with Gradio
board        the queue and the takes, and what their buttons do
take_form    what was chosen becomes a request, and the other way round
uploads      pictures and movies that people sent
server_line  the line to the server, and its jobs
gate         who may ask for what, and how much may be sent
addresses    which addresses are this machine alone
"""

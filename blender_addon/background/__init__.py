"""Renders sources of takes in a second Blender, in the background, on a copy of the open file.

That Blender finds this package by its path, without the rest of the extension, so it imports nothing else of it. The
copy is changed for rendering and never saved.

run          reads the order and renders what it lists
frames       the timeline's pictures
depth        the depth of a scene
camera       the camera of a scene, as numbers
output       renders the frames of a scene, and how pictures are written
compat       what differs between the versions of Blender
report       reports progress, and ends when nobody waits anymore
made_folder  folders for rendered pictures, which may be removed again
"""

"""What runs in a Blender of its own, in the background, on a copy of the artist's file. Knows bpy, nothing of ours.

It's found by its path, so it imports nothing of the add-on. What it does to the copy is never saved.

run     reads the order and does it
frames  the timeline's pictures
depth   how far away things are in a scene
output  how pictures are written
report  how far it is, and whether it's still wanted
"""

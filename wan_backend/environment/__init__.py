"""Makes the backend's own Python environment, apart from Blender's.

Standard library only, and it must run under any Python from 3.11 on: Blender's "Set up backend" button and build.py
run it before anything is installed. `python -m wan_backend.environment plan|create` speaks SETUP_EVENTS of the
protocol on stdout.

make          an environment from nothing: uv, a Python, the packages
uv_tool       brings uv, compared with a checksum
uv_install    makes an environment with uv
create        makes one with pip, where uv can't be had
interpreters  finds a Python to begin with
torch_build   which build of torch fits this machine
lock          the lists of what is installed, with checksums
first_files   packages whose checksums nobody states
index_file    one file of a package index, resumed and compared
reach         how this machine reaches the network and the packages
socks         connections through a SOCKS proxy
processes     runs a program, its words in our log
amount        how much is here of what is fetched
causes        why a set-up failed, and what to do
adding        what to run where packages are missing that are added on demand
"""

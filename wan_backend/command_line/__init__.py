"""The backend's command line, `python -m wan_backend ...`, for a person at a terminal.

arguments        the verbs and their flags
generate         makes a take of a prompt
edited_movie     says of a movie and of reference pictures what an edit needs
generate_job     makes the take of a request in a file, for render farms
train            trains the LoRA of a request in a file
take_output      puts the take where `-o` says
take_words       says how it was made
calibrate        measures what the step cache needs to know of a model
calibrate_cards  measures which way of sharing its takes is the quickest on several cards
serve_child      starts a server and speaks the protocol with it
models           lists the models, and downloads one
doctor           says what is missing and how to fix it

Results go to stdout; progress and logs go to stderr.
"""

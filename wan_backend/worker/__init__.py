"""The process that runs the models: `python -m wan_backend.worker`.

One job at a time goes from its RunParams to a take on the disk (`make_take`).

server_connection    the worker's end of the connection to its server, and its heartbeat
executor             one job after another, with one model kept warm
warm_model           the model that stays in memory between jobs
warm_up              gets that model ready while there is no job
look                 a small draft of what is being looked at, and no job
take_job             one job: prepare, denoise, decode, again with less memory if need be
finish_job           one job that makes a finished take larger
skipped_work         what a job leaves out, and what one measures that calibrates the step cache
overlap              what is done at once on the way to the first step
other_cards          what a worker's other cards do of a job: asked for, waited for, done without
team                 those of them that compute a forward pass together
card_group           what they exchange in it, and a watch over that
patience             how long something is waited for, but for the time in which all were suspended
exchange_ledger      what cards exchange in a forward pass, in order, and what is awaited
other_process        their processes, as the worker sees one
other_card_process   such a process, which reads what the worker says
other_card           what it computes
payload_frames       what they say to each other, with tensors
idle_memory          whether others need what an idle process holds
step_pace            how long the steps take, and whether the card's memory ran over
steady_steps         how quick they are once all cards take part
gather               the request's sources into the canvas of its task
source_reader        has sources read by another process, and ends it where it hangs
source_process       that process
job_memory           the memory plan of a job, and the smaller ones after it
kept_steps           the newest finished step of a job, on the disk
late_steps           what follows each step, done while the card makes the next one
preview_file         what the take looks like so far, on the disk
take_pictures        decoded pictures to the take's media: kept frames, seams, the scene's rate
take_record          what is said of a take once its pictures are made, take.json above all
take_signing         a take's movie signed, where a person has a certificate
picture_seams        the made frames around pictures at chosen times, eased into these
train_job            one training: clips, steps, and the LoRAs that are kept on the way
training_clips       a request's sources and captions as a training takes them
training_samples     a prompt's pictures by the model as it is trained so far
training_progress    how far a training is, and how long it will take
trained_loras        the folder of a training among a person's LoRAs
base_model_hash      the hash of the model that is trained on
progress             how far a job is, and how long it will take
failures             what went wrong, as a Problem that says what to do
"""

"""From a request to frames: `prepare` makes Conditions, `denoise` makes latents, `decode` makes pictures.

Each task has its own prepare (`task_conditions.PREPARE`); one denoise and one decode serve all of them.

conditions                  what a prepare takes and gives: a Canvas becomes Conditions
preparation                 what a prepare works with, and what it leaves for the next job
task_conditions             which prepare makes a task's conditions on which architecture
text_to_video               a prompt and noise, with which every task begins
image_conditioning          image to video on a model made for it
camera_conditioning         a take along a camera's move
noised_footage              restyle on a text to video model
edit                        edits of footage
vace_control                control latents of a VACE model
depth_guide                 the depth of footage, as a guide
prompt_encoding             prompts to embeddings
prompt_relay                which latent frames read which of a take's prompts
encode                      pixels to latents
sampling                    the scheduler of a job, by the sampler's name
host_unipc                  UniPC with its coefficients on the CPU
experts                     which transformer makes which steps
windows                     takes that are longer than a transformer's window
denoise                     the one loop over the steps
source_guidance             guidance of edits
guidance_interval           guidance in part of the steps
elsewhere                   what somebody else may compute: a half of guidance, shares of a forward pass
step_cache                  steps that reuse what a transformer's blocks computed before
step_checkpoint             a job's state after a step, in a file
stopping                    stops a job in the middle of a forward pass
preview                     rough pictures of latents, by one matrix
decode                      latents to pictures
tiles                       pictures in tiles, where the autoencoder doesn't fit whole
upscaling                   pictures made larger by an upscaling model, in tiles
tiny_decoder                latents to pictures by a tiny autoencoder
channels_last_autoencoder   the autoencoder as a graphics card computes it fastest
channels_last_convolutions  its convolutions
channels_last_film          whole films through it, in chunks of latent frames
channel_norm                what it computes between its convolutions
transfers                   pictures leave the device while the next ones are computed
"""

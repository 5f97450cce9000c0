"""Trains a LoRA on clips: what is done between reading them and a file of the adapter's numbers.

clip_cuts       which clips are black or alike, and what their captions say
kept_clips      clips as latents, kept on disk by what they show
lora_layers     the adapters on a transformer, and their product with the frozen weights
trained_blocks  blocks whose frozen weights visit the device, on the way forward and on the way back
noising         each step's clip, time and noise, by its number alone
optimizer       the adapters' numbers in 32 bit, and the step that changes them
trained_model   a model's transformers, one on the device at a time, with their adapters
kept_training   how far a training is, on disk
lora_file       the LoRA as others read it

The way through all of it is the worker's `train_job.py`.
"""

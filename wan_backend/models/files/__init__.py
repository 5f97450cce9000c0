"""The files that people have: which of them hold a part of a Wan model, told by looking inside. No torch.

headers            what a safetensors or GGUF file says of its tensors
gguf_header        the same of GGUF, read by hand
transformer_names  the names of a transformer's tensors, as published and as diffusers has them
vae_names          those of the autoencoders
encoder_names      those of the text encoder and the image encoder
configs            the configuration of a part, from the shapes of its tensors
recognise          which part a file is, in which form; or why it can't be used
survey             every file of a models folder
assembly           a model put together of parts from several places

Standard library and protocol only: the server looks with these, and a worker loads by the same words.
"""

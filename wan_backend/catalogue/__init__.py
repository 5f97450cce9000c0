"""What the backend knows of Wan's models before it looks at a disk: the catalogue and the architectures.

catalogue.toml has the models, their qualities, LoRAs and tiny autoencoders; its head says what each line means.

entries             catalogue.toml, read and checked
architecture        which kind of Wan model a configuration is of, and what that kind can't do
transformer_shapes  a transformer's parameters and their shapes
"""

"""What lies on this machine: which files are components of which model, and whether they are whole.

Files are told by looking inside, and by their names only where that says nothing (experts, Bernini-R):
`recognize_components` says which components a file holds.

locate           where a model of the catalogue is, or what is missing of it
survey           what each file of the models folders is, or why it can't be used
library_index    keeps the survey, and makes it on a thread of its own
weights_head     reads the head of a file of weights, without the numbers
tensor_formats   how a file stores its tensors: number formats, scales, shapes
tensor_names     the names of Wan's tensors, as Wan, diffusers and transformers have them
recognize        which components a file holds, by the names and shapes of its tensors
a14b_experts     which expert of a Wan 2.2 A14B a transformer's file is
transformer_answers  what a person said of those that nothing else tells
configs          a component's configuration, from the shapes of its tensors
compose          a model out of components that lie in several places
component_files  where each component of a model is
control_modules  control (VACE) in a file of its own, and the transformers that it goes with
renderer_folders  Bernini-R's folders, told by a configuration of their own
integrity        whether a folder holds a whole model in the diffusers layout
extras           LoRAs, tiny autoencoders and the depth model
upscalers        upscaling models, the catalogue's and a person's own
hub_cache        the Hugging Face cache on the disk
"""

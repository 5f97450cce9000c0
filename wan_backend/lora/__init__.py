"""What a LoRA file holds and whether it fits a model, by its head alone; no weights are read here.

What is wrong with a file is found by `lora_head` and `fit` as the end of a sentence ("is for another model"); `resolve`
makes the sentence that a person reads, with the LoRA's name before it and buttons after it.

resolve       which LoRAs a take is made with, and what is wrong with one
lora_head     a file's tensors, its trainer's settings, its titles
key_names     keys of LoRA files: the layer, and which tensor of its change
fit           whether a file fits a transformer
lora_experts  which expert of a Wan 2.2 A14B a LoRA is for
"""

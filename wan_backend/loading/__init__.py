"""Weights into memory: this room and those above it use torch.

wan_model                a model: loads its components from folders or files
component_folder         a component out of a folder as diffusers saves it
single_files             a component out of one file
tensors                  the tensors of one component out of a file
weight_forms             in which form weights are kept, and how many bytes that is
eight_bit                linear layers whose weights stay in 8 bit
bf16_cache               copies in 16 bit of weights that are kept in 32
finite                   whether weights are numbers
sentencepiece_tokenizer  a tokenizer out of a text encoder's file
upscaling_model          an upscaling model out of a file, whatever its kind
build_budget             how much may be built for a file: about what it holds
devices                  which device a job runs on, its memory, its errors
residency                puts components where the memory plan says, phase by phase
visits                   a module on a device for a while, and back without a copy
bulk_copies              weights copied by several threads
block_offload            a module whose blocks visit the device one by one
weight_shares            and one whose weights several cards hold between them
read_ahead               files of weights into the system's cache, before they are loaded
lora_weights             the numbers of a LoRA file, by layer
applying_loras           LoRAs onto a transformer and off again, to the bit
chunked_forward          a transformer that runs a share of the tokens at a time
source_tokens            what a model for edits sees beside the take
camera_transformer       a transformer that a camera's path steers, and the rays that it gets
token_split              and one whose tokens several cards share
forward_kernels          the kernels of that forward pass
attention                the attention kernel: each is checked, the fastest taken
attention_kernels        the kernels that may be taken
pointwise                what is computed between matrix products, in torch's operations
fused_pointwise          that in one pass over memory
triton_kernels           the kernels that are written in Triton
matrix_kernels           products of matrices in 8 bit
matrix_products          which layers use them, and the kernel: each is checked, the fastest taken
kernel_trials            the results of trying kernels, kept on the disk
diffusers_internals      everything of diffusers that isn't its public interface
"""

"""Files and folders, whatever is wrong with them and whoever made them.

whole_file            files that are either whole or not there
private_files         files that nobody else on the machine may read
file_locks            locks that the system releases with their process
folder_trees          makes and removes folders, however deeply they are nested
guarded_files         reads people's own files: a bad one affects only itself
signing               signs movies with a person's certificate
training_folder       the folder of a training among a person's LoRAs
take_folder           the folder of a take, which appears only when it is whole
media_folder          whether a take can be written where it is to go
lora_metadata         what the head of a LoRA file says of it, for people
byte_sizes            sizes in words, and what a disk has free
disk_errors           the system's errors, as a person reads them
unresponsive_folders  folders that don't answer
compiled_kernels      the private folder for what compilers make for a card
transfer_rate         how fast bytes of a download come
"""

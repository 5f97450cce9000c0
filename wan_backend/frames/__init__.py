"""From source files to the model's pictures, and from decoded pictures to a take's files.

Processes that only read media import it, so it stays free of torch.
"""

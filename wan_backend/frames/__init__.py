"""From source files to the model's pictures, and from decoded pictures to a take. Never imports torch.

This module imports nothing.
"""

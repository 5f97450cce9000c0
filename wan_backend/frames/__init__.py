"""From decoded pictures to a take on the disk. May import numpy, opencv, av and protocol; never torch.

This module imports nothing.
"""

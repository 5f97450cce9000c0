"""What the backend knows of Wan's models before it looks at a disk: the catalogue and the architectures."""

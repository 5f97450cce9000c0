"""What lies on this machine: which files are components of which model, and whether they are whole."""

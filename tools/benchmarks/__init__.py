"""What developers measure of the backend: claimed seconds, counts of kernels and bytes, the tables of a document."""

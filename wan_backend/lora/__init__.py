"""What a LoRA file holds and whether it fits a model, by its head alone; no weights are read here."""

"""What a LoRA file holds, by its head alone, and what it fits. No weights are read here."""

"""A request and a model become a plan: every value settled, every change noted."""

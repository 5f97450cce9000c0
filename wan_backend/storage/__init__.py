"""Files written whole, told from one another, kept private, or looked at though strangers wrote them."""

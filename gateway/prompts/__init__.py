"""How many tokens a prompt comes to: bounded cheaply, or counted."""

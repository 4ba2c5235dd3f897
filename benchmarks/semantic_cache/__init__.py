"""How often the semantic cache serves, and how often wrongly: streams of questions whose right answers are known."""

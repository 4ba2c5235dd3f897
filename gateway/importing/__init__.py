"""Other gateways' configurations as policies of this one, with a list of what has no counterpart here."""

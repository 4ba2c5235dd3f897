"""Attempts as they are carried out: one leg, two legs in a race, and the part of an answer that is held back."""

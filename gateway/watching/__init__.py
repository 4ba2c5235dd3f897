"""What a person watches in a terminal: the numbers of one scrape beside those of the one before."""

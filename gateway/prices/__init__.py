"""What models cost: tables of prices, whose they are, and prices as policies reckon with them."""

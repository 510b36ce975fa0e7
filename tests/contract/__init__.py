"""What every driver has to do, tried on each of them."""

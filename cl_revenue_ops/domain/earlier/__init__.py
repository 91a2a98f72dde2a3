"""What the database of the earlier plugin says, how far it is trusted, and what is taken of it."""

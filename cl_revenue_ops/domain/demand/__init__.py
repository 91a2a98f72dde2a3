"""What is learned about the demand that meets our fees, from counts and from nothing else."""

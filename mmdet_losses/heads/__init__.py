"""What heads pass to their losses, and what is said where a loss is made for something else."""

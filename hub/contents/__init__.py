"""Files beneath a user's home, nowhere else."""

"""Training: stages, losses, rewards. Importing this package loads no torch."""

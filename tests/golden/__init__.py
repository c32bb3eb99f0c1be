"""Golden files against what the package computes: for run_golden.py and run_vectors.py."""

"""Fine-tuning that keeps the source head (You et al. 2020)."""

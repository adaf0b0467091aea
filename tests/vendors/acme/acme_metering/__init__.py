"""A company's own meters for amilab."""

"""A company's own meters, which amilab finds by entry points alone."""

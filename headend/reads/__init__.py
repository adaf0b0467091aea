"""From messages to readings, and from gaps to requests."""

"""What is a vendor's own: facts with their sources, and the wire."""

"""What the lab knows of head-ends: its own, and somebody else's."""

"""Who is metered, by whose meter, and in which process."""

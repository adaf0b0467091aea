"""What a person types: the command line, a file per group of commands."""

"""Processes of a run: started, watched, and never left behind."""

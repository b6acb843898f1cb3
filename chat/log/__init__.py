"""What is kept of a run: the only way events get into the log."""

"""What both halves of the testbed need: runs, processes, what was made on the host and how it is undone."""

"""What a thief tries, what stops him, and that it is this which stops him."""

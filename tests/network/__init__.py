"""Every other way out of a box, tried on a box by its root; see check.py."""

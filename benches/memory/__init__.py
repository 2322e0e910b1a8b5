"""Peak memory of controller and box by the size of what they carry."""

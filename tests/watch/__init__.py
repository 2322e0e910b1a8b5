"""What watches the stack from the AWS side, on the deployed stacks; see check.py."""

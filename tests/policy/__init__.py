"""What the deployed policies allow and refuse, asked of the account itself; see probes.py and mutate.py."""

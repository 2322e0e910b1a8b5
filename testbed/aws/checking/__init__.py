"""What the local AWS must allow and refuse, shown against a live run; `checks.py` starts one and runs all of it.

Each denial stands beside an allowed twin that differs in the one thing meant, so that a broken check cannot pass as security.
"""

"""A local AWS for tests: an API emulator with IAM enforced, an EC2 back end, and a host that turns instances into machines.

- `cloud/`     the API emulator (ministack) and what it lacks: conditions, endpoint policies, EC2 authorization, events
- `backend/`   the EC2 back end (moto) and what it lacks: states, idempotency, dependencies, a control API
- `machines/`  the instance host: fabric, security groups, route tables, metadata service, machine boot
- `aws.py`     the command that brings a run of it up and down
"""

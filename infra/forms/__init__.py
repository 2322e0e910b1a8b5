"""The Terraform form of the permanent part, written from the same sources as the CloudFormation one.

`write.py` translates template.yaml and watch.yaml, resource by resource; what it does not know it refuses, so that
neither form can have what the other lacks. `check.py` reads both forms back and compares what they name.
"""

"""Carrying pods' files to S3: Drawbridge beside the pipeline that people write by hand, in the same run."""

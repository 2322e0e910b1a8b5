"""What is wrong with a template, or with what it was asked to become."""

from testbed.common.errors import TestbedError


class TemplateError(TestbedError):
    """The message names the place in the template."""

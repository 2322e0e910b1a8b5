"""The local Lambda keeps asynchronous events as Lambda says that it does."""

from __future__ import annotations

import sys
import time
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from testbed.aws.cloud import asynchronous  # noqa: E402
from testbed.aws.cloud.asynchronous import AGE, RETRIES, lambda_svc  # noqa: E402

NAME = "create"
ARN = f"arn:aws:lambda:us-east-1:000000000000:function:{NAME}"


class Queue(unittest.TestCase):
    """A function that does nothing but succeed, or fail if `fails`."""

    def setUp(self) -> None:
        self.tried, self.fails = 0, False
        self.function: dict[str, Any] = {"config": {"FunctionName": NAME, "FunctionArn": ARN}}
        # Only what runs a function's program is replaced: who is throttled, Lambda's own code decides.
        replaced = {"_execute_function_dispatch": self.execute, "_LAMBDA_ASYNC_RETRY_BASE_SECONDS": 0.01}
        patched = mock.patch.multiple(lambda_svc, **replaced)
        patched.start()
        self.addCleanup(patched.stop)
        lambda_svc._functions[NAME] = self.function
        self.addCleanup(lambda: lambda_svc._functions.pop(NAME, None))
        put = mock.patch.object(asynchronous, "_original_put", lambda_svc._put_event_invoke_config)
        put.start()
        self.addCleanup(put.stop)

    def execute(self, *_: Any) -> dict[str, Any]:
        self.tried += 1
        return {"error": True, "body": {}} if self.fails else {"body": {}}

    def sets(self, **settings: int) -> int:
        """The status of the answer."""
        return int(asynchronous._put(NAME, "$LATEST", settings)[0])

    def until(self, holds: Callable[[], bool]) -> None:
        end = time.monotonic() + 5
        while not holds():
            self.assertLess(time.monotonic(), end, f"{asynchronous.control({})} after {self.tried} attempts")
            time.sleep(0.005)

    def gone(self) -> bool:
        return asynchronous.control({})["kept"] == {}

    def ended(self) -> int:
        """How often the function was tried before the event was served or dropped."""
        asynchronous.invoke(self.function, {})
        self.until(self.gone)
        return self.tried

    def throttle(self) -> None:
        """An event waits because the function's concurrency is taken."""
        self.function["concurrency"] = 1
        self.taken, _ = lambda_svc._acquire_execution_slot(self.function, self.function["config"])
        asynchronous.invoke(self.function, {})
        self.until(lambda: asynchronous.control({})["waiting"] == {NAME: 1})

    def free(self) -> None:
        lambda_svc._release_execution_slot(self.taken)

    def test_a_function_s_own_errors_are_tried_again_as_often_as_it_says(self) -> None:
        self.assertEqual(self.ended(), 1)
        self.tried, self.fails = 0, True
        self.assertEqual(self.ended(), 3)
        self.tried = 0
        self.sets(**{RETRIES: 0, AGE: 60})
        self.assertEqual(self.ended(), 1)

    def test_a_throttled_event_waits_however_few_retries_there_are_and_is_served_when_there_is_room(self) -> None:
        self.sets(**{RETRIES: 0, AGE: 60})
        self.throttle()
        self.free()
        asynchronous.control({"age": 30})
        self.until(self.gone)
        self.assertEqual(self.tried, 1)

    def test_a_throttled_event_that_is_too_old_is_dropped(self) -> None:
        self.sets(**{RETRIES: 0, AGE: 60})
        self.throttle()
        self.free()
        asynchronous.control({"age": 61})
        self.until(self.gone)
        self.assertEqual(self.tried, 0)

    def test_where_nobody_said_a_throttled_event_waits_for_six_hours(self) -> None:
        for age, tried in ((21_500, 1), (21_601, 0)):
            self.tried = 0
            self.throttle()
            self.free()
            asynchronous.control({"age": age})
            self.until(self.gone)
            self.assertEqual(self.tried, tried, f"after {age} seconds")

    def test_a_function_that_may_not_run_at_all_keeps_nothing(self) -> None:
        self.function["concurrency"] = 0
        self.assertEqual(self.ended(), 0)

    def test_an_event_goes_with_its_function(self) -> None:
        self.throttle()
        self.free()
        del lambda_svc._functions[NAME]
        asynchronous.control({"age": 30})
        self.until(self.gone)
        self.assertEqual(self.tried, 0)

    def test_settings_beyond_lambda_s_bounds_are_refused(self) -> None:
        for wrong in ({AGE: 59}, {AGE: 21_601}, {RETRIES: 3}, {RETRIES: -1}):
            self.assertEqual(self.sets(**wrong), 400, wrong)
        self.assertEqual(self.sets(**{AGE: 60, RETRIES: 0}), 200)


if __name__ == "__main__":
    unittest.main()

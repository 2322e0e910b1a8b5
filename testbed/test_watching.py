"""The local CloudWatch judges alarms and log lines as CloudWatch says that it does; CloudTrail has its own names."""

from __future__ import annotations

import sys
import unittest
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from testbed.aws.cloud import log_metrics  # noqa: E402
from testbed.aws.cloud.alarms import by_period, verdict  # noqa: E402
from testbed.aws.cloud.request import Request  # noqa: E402
from testbed.aws.cloud.trail import operation  # noqa: E402


def alarm(treat: str, **more: Any) -> dict[str, Any]:
    below_one = {"ComparisonOperator": "LessThanThreshold", "Threshold": 1, "EvaluationPeriods": 3}
    return {**below_one, "TreatMissingData": treat, **more}


class Alarms(unittest.TestCase):
    def test_missing_data_counts_as_the_alarm_says(self) -> None:
        nothing: list[float | None] = [None, None, None]
        self.assertEqual(verdict(nothing, alarm("breaching")), "ALARM")
        self.assertEqual(verdict(nothing, alarm("notBreaching")), "OK")
        self.assertEqual(verdict(nothing, alarm("missing")), "INSUFFICIENT_DATA")
        self.assertIsNone(verdict(nothing, alarm("ignore")))

    def test_one_good_period_ends_silence_and_every_bad_one_is_needed(self) -> None:
        self.assertEqual(verdict([None, 1.0, None], alarm("breaching")), "OK")
        self.assertEqual(verdict([0.0, 0.0, None], alarm("breaching")), "ALARM")
        self.assertEqual(verdict([0.0, 1.0, None], alarm("breaching", DatapointsToAlarm=2)), "ALARM")

    def test_points_fall_into_the_periods_that_they_were_measured_in(self) -> None:
        points = [(99.0, "new"), (35.0, "old"), (9.0, "too old"), (101.0, "of the future")]
        self.assertEqual(by_period(points, 30, 3, 100.0), [["new"], [], ["old"]])


class Filters(unittest.TestCase):
    PATTERN = '{ $.source = "aws.s3" && $.detail.object.key = "*/manifest.dsse.json" }'

    def matches(self, source: str, key: str) -> bool:
        document = {"source": source, "detail": {"object": {"key": key}}}
        return all(term.holds(document) for term in log_metrics.parse(self.PATTERN))

    def test_a_pattern_matches_what_it_says(self) -> None:
        self.assertTrue(self.matches("aws.s3", "clusters/x/manifest.dsse.json"))
        self.assertFalse(self.matches("aws.s3", "clusters/x/manifest.json"))
        self.assertFalse(self.matches("aws.kms", "clusters/x/manifest.dsse.json"))
        self.assertFalse(log_metrics.parse("{ $.a != 1 }")[0].holds({}))

    def test_a_pattern_that_is_not_modelled_is_refused(self) -> None:
        for pattern in ("ERROR", "{ $.a > 1 }", "{ $.a = 1 || $.b = 2 }", "[a, b]"):
            with self.assertRaises(log_metrics.UnknownPattern):
                log_metrics.parse(pattern)


class Records(unittest.TestCase):
    def test_a_record_has_the_name_of_the_operation_not_of_the_permission(self) -> None:
        part, copied = {"partNumber": ["1"], "uploadId": ["u"]}, {"x-amz-copy-source": "/b/k"}
        for permission, method, parameters, headers, name in (
            ("PutObject", "PUT", {}, {}, "PutObject"),
            ("PutObject", "POST", {"uploads": [""]}, {}, "CreateMultipartUpload"),
            ("PutObject", "PUT", part, {}, "UploadPart"),
            ("PutObject", "PUT", part, copied, "UploadPartCopy"),
            ("PutObject", "POST", {"uploadId": ["u"]}, {}, "CompleteMultipartUpload"),
            ("PutObject", "PUT", {}, copied, "CopyObject"),
            ("AbortMultipartUpload", "DELETE", {"uploadId": ["u"]}, {}, "AbortMultipartUpload"),
            ("ListMultipartUploadParts", "GET", {"uploadId": ["u"]}, {}, "ListParts"),
            ("GetObject", "GET", {}, {}, "GetObject"),
            ("GetObject", "HEAD", {}, {}, "HeadObject"),
            ("GetObjectVersion", "GET", {"versionId": ["v"]}, {}, "GetObject"),
            ("DeleteObjectVersion", "DELETE", {"versionId": ["v"]}, {}, "DeleteObject"),
            ("DeleteObject", "POST", {"delete": [""]}, {}, "DeleteObjects"),
        ):
            with self.subTest(name=name, method=method):
                now = Request(method=method, parameters=parameters, headers=headers)
                self.assertEqual(operation(permission, now), name)


if __name__ == "__main__":
    unittest.main()

"""Turns what `bazel test --build_event_json_file=FILE` wrote into one line a test target.

Prints, separated by tabs: label, cases passed, cases failed, cases skipped, seconds. A target that fails although its
cases passed (a sanitizer's report at exit, a crash, a time-out) counts as one failed case more. The logs of failed
targets go to stderr.
"""

import collections
import json
import sys
import urllib.parse
import urllib.request
import xml.etree.ElementTree

LOG_LINES = 200


def count_cases(path):
    """The cases (passed, failed, skipped) in a JUnit-style test.xml; none if it cannot be read."""
    passed = failed = skipped = 0
    try:
        root = xml.etree.ElementTree.parse(path).getroot()
    except (OSError, xml.etree.ElementTree.ParseError):
        return 0, 0, 0
    for case in root.iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif case.get("status") == "notrun" or case.find("skipped") is not None:
            skipped += 1
        else:
            passed += 1
    return passed, failed, skipped


def file_path(uri):
    return urllib.request.url2pathname(urllib.parse.urlparse(uri).path)


def show_log(label, path):
    """Prints a failed test's log; of a very long one its beginning and its end."""
    with open(path, encoding="utf-8", errors="replace") as log:
        lines = log.readlines()
    if len(lines) > 2 * LOG_LINES:
        left_out = f"... {len(lines) - 2 * LOG_LINES} lines left out, see {path}\n"
        lines = lines[:LOG_LINES] + [left_out] + lines[-LOG_LINES:]
    print(f"-- log of {label}", "".join(lines), f"-- end of the log of {label}", sep="\n", file=sys.stderr)


class Target:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.seconds = 0.0

    def add_result(self, label, result):
        """Adds one run or shard: the event testResult."""
        outputs = {output["name"]: file_path(output.get("uri", "")) for output in result.get("testActionOutput", [])}
        passed, failed, skipped = count_cases(outputs.get("test.xml", ""))
        if result.get("status") != "PASSED":
            failed = max(failed, 1)
            if "test.log" in outputs:
                show_log(label, outputs["test.log"])
        self.passed += passed
        self.failed += failed
        self.skipped += skipped
        self.seconds += int(result.get("testAttemptDurationMillis", 0)) / 1000


def main(path):
    targets = collections.defaultdict(Target)
    with open(path, encoding="utf-8") as events:
        for line in events:
            event = json.loads(line)
            name = event.get("id", {}).get("testResult")
            if name and "testResult" in event:
                targets[name["label"]].add_result(name["label"], event["testResult"])
    for label, target in sorted(targets.items()):
        print(label, target.passed, target.failed, target.skipped, f"{target.seconds:.1f}", sep="\t")


if __name__ == "__main__":
    main(sys.argv[1])

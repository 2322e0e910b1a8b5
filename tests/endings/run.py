#!/usr/bin/env python3
"""Each ending of a box alone, all others taken away, box root having taken away the box's own.

    run.py --run ID --code create.zip cleanup.zip posture.zip [--table FILE]

Every ending has a stack of its own in the run's local AWS, with sessions of two minutes and no grace, and all of them
run at the same time. Exit code 1 when one does not hold.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from testbed.common.errors import main_wrapper  # noqa: E402
from tests.endings.deployment import deploy  # noqa: E402
from tests.endings.endings import ENDINGS, NONE, SESSION_SECONDS, Ended, Ending, outlives, run  # noqa: E402
from tests.endings.switches import Switch  # noqa: E402
from tests.sessions.account import Account, Failed  # noqa: E402


def result(future: Future[Ended]) -> Ended | str:
    try:
        return future.result()
    except Failed as error:
        return str(error)


def row(ending: Ending, ended: Ended | str) -> str:
    kept = "; ".join(switch.value for switch in Switch if switch in ending.keeps) or "nothing of the box or the account"
    if isinstance(ended, str):
        return f"| {ending.name} | {kept} | **{ended}** | |"
    return f"| {ending.name} | {kept} | {ended.instance_gone:.1f} | {ended.nothing_left:.1f} |"


def table(ended: dict[str, Ended | str], outlived: str) -> str:
    lines = [
        f"Sessions of {SESSION_SECONDS} s, no grace, the sweeper every minute; seconds from the deadline.",
        "",
        "| ending | what was left to it | no instance, s | nothing left, s |",
        "|---|---|---:|---:|",
        *(row(ending, ended[ending.cluster]) for ending in ENDINGS),
        f"| {NONE.name} | nothing | {outlived} | |",
        "",
        "With a grace time the sweeper and `create` begin that much later; the others do not wait for it.",
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="the run's id")
    parser.add_argument("--code", required=True, type=Path, nargs="+", help="the functions' zips, as deploy.py takes them")
    parser.add_argument("--table", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        accounts: dict[str, Account] = {}
        for number, ending in enumerate([*ENDINGS, NONE]):
            accounts[ending.cluster] = deploy(arguments.run, arguments.code, ending, number, Path(directory))
        with ThreadPoolExecutor(len(ENDINGS) + 1) as pool:
            running = {ending: pool.submit(run, accounts[ending.cluster], ending) for ending in ENDINGS}
            none = pool.submit(outlives, accounts[NONE.cluster])
            ended = {ending.cluster: result(future) for ending, future in running.items()}
            try:
                outlived = f"lives {none.result():.0f} s after it"
            except Failed as error:
                outlived = f"**{error}**"
    text = table(ended, outlived)
    print(text, flush=True)
    if arguments.table:
        arguments.table.write_text(text)
    return 0 if all(isinstance(one, Ended) for one in ended.values()) and "**" not in outlived else 1


if __name__ == "__main__":
    main_wrapper("run.py", main)

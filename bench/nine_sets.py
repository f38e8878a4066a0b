"""`nshot compare` on nine public sets with no flag beyond the file names: what is picked, with which score.

    python bench/nine_sets.py [--budget 2m] [--only trec,sst2] [--out FOLDER]

Needs the data beside the checkout (../shared/data). Prints one line per set.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TEXT = Path(__file__).resolve().parents[2] / "shared" / "data" / "text"
SETS = {
    "nusax_buginese": ("nusax_sentiment/buginese/train.csv", "nusax_sentiment/buginese/test.csv"),
    "nusax_english": ("nusax_sentiment/english/train.csv", "nusax_sentiment/english/test.csv"),
    "tweet_emotion": ("tweet_emotion/train.jsonl", "tweet_emotion/test.jsonl"),
    "amazon_counterfactual": ("amazon_counterfactual/train.tsv", "amazon_counterfactual/test.tsv"),
    "trec": ("trec/train.csv", "trec/test.csv"),
    "sst2": ("sst2/train.csv", "sst2/test.csv"),
    "ag_news": ("ag_news/rows.csv", None),
    "clinc150": ("clinc150/train.csv", "clinc150/test.csv"),
    "banking77": ("banking77/train.csv", "banking77/test.csv"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", default="2m")
    parser.add_argument("--only", default=",".join(SETS))
    parser.add_argument("--out", type=Path, default=None)
    given = parser.parse_args()
    folder = given.out or Path(tempfile.mkdtemp(prefix="nine-sets-"))
    for name in given.only.split(","):
        train, test = SETS[name]
        command = [sys.executable, "-m", "nshot.cli", "compare", str(TEXT / train), "--out", str(folder / name)]
        command += ["--budget", given.budget, "--json", "--quiet", "--fresh"]
        if test:
            command += ["--test", str(TEXT / test)]
        started = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds = time.monotonic() - started
        if done.returncode:
            print(f"{name}: exit {done.returncode}: {done.stderr.strip()[-300:]}", flush=True)
            continue
        verdict = json.loads(done.stdout)
        pick = verdict["pick"]
        print(
            f"{name}: {seconds:.0f} s, {verdict['metric']}, pick {pick['candidate']} at n = {pick['n_labels']:,}: "
            f"{pick['score']:.3f} {pick['interval']}",
            flush=True,
        )
        for row in verdict["leaderboard"]:
            accuracy = row["scores"].get("accuracy", {}).get("score")
            stands = "not distinguishable" if row["versus_best"] and not row["distinguishable"] else row["status"]
            print(
                f"    {row['candidate']:45} n = {row['n_labels']:6,}  {row['score']:.3f} {row['interval']}  "
                f"accuracy {accuracy}  {stands}",
                flush=True,
            )
        for sentence in verdict["because"]:
            print(f"    - {sentence}", flush=True)


if __name__ == "__main__":
    main()

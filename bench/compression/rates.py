"""Ways of compressing on the real data sets: what each gives back at each rate, as a Markdown table.

python bench/compression/rates.py x_rays --out /tmp/x_rays
python bench/compression/rates.py photographs --out /tmp/photographs
python bench/compression/rates.py characters --out /tmp/characters
python bench/compression/rates.py sentences --out /tmp/sentences
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import nshot

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
SETS: dict[str, tuple[Path, dict[str, Any]]] = {
    "x_rays": (DATA / "images" / "pneumonia_subset" / "pneumoniamnist.npz", {}),
    "photographs": (DATA / "images" / "ants_bees" / "train", {"test_rows": 30}),
    "characters": (DATA / "images" / "omniglot" / "images_background_small1.zip", {"test_rows": 200}),
    "sentences": (DATA / "text" / "trec" / "train.csv", {}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", choices=SETS)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--budget", default="5m")
    parser.add_argument("--threads", type=int, default=1)
    told = parser.parse_args()
    path, options = SETS[told.data]
    found = nshot.compare(
        path,
        task="compress",
        out=told.out,
        fresh=told.out.exists(),
        budget=told.budget,
        threads=told.threads,
        **options,
    )
    metric, bits = found.verdict["metric"], found.verdict["rate_metric"]
    asked = sorted({point["asked"] for point in found.verdict["rates"]})
    print(f"{told.data}: learnt from {found.verdict['n_pool']}, tested on {found.verdict['n_test']}; {metric} (bits)\n")
    print(f"| fitted for | {' | '.join(f'{rate:g}' for rate in asked)} |")
    print(f"|{'---|' * (len(asked) + 1)}")
    names = list(dict.fromkeys(point["candidate"] for point in found.verdict["rates"]))
    for name in names:
        own = {point["asked"]: point["scores"] for point in found.verdict["rates"] if point["candidate"] == name}
        cells = [
            f"{own[rate][metric]['score']:.4g} ({own[rate][bits]['score']:.2f})" if rate in own else ""
            for rate in asked
        ]
        print(f"| {name} | {' | '.join(cells)} |")
    for words in [*found.verdict["because"], *(str(row["difference"]) for row in found.details["classifier"])]:
        print("-", words)


if __name__ == "__main__":
    main()

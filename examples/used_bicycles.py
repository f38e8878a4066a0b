"""Writes used_bicycles.csv: 640 invented ads for used bicycles, with a price and whether the bicycle was sold fast.

    python examples/used_bicycles.py

Prices follow the list price of the model, age, mileage, condition and season, with noise of about 12 %; a fast sale
depends on how low the price is for what is offered, on the season, and on chance. Cells are left empty as sellers leave
them; a few are wrong in ways that sellers get wrong (a mileage in miles, a price with the digits of two swapped).
"""

from __future__ import annotations

import csv
import math
import random
from datetime import date, timedelta
from pathlib import Path

ROWS = 640
STILL_LISTED = 60
"""The newest ads: nobody knows yet whether these are sold fast."""
FIRST = date(2024, 3, 4)
OUT = Path(__file__).with_name("used_bicycles.csv")

# style: list price in euros, weight in kg, gears to choose from, share with a motor
STYLES = {
    "city": (650, 17.5, (3, 7, 8), 0.25),
    "trekking": (950, 16.0, (8, 21, 24, 27), 0.35),
    "mountain": (1400, 13.5, (11, 12, 20, 24), 0.25),
    "race": (1900, 8.8, (16, 18, 20, 22), 0.03),
    "gravel": (1700, 10.2, (11, 12, 20, 22), 0.05),
    "cargo": (3200, 36.0, (5, 8, 10), 0.7),
    "folding": (800, 12.5, (1, 3, 6, 8), 0.15),
    "children": (260, 10.5, (1, 3, 6), 0.0),
}
# what a brand asks beside the average
BRANDS = {
    "Alderwick": 1.45,
    "Benno & Sohn": 1.1,
    "Corvelo": 1.3,
    "Dinant": 0.85,
    "Estrava": 1.0,
    "Fjellrad": 1.2,
    "Hollander": 0.9,
    "Komet": 0.7,
    "Nordkant": 1.05,
    "Velmore": 0.95,
    "no name": 0.5,
}
CONDITIONS = {"like new": 1.1, "good": 1.0, "fair": 0.8, "needs repair": 0.5}
CITIES = ("Bremen", "Dresden", "Freiburg", "Hamburg", "Kiel", "Leipzig", "Mainz", "Münster", "Ulm")
EXTRAS = ("lock", "lights", "mudguards", "child seat", "pannier rack", "new tyres", "new chain", "basket", "pump")


def ad(source: random.Random, number: int, listed: date) -> dict[str, object]:
    """Return one ad.

    Args:
        source: The only source of chance.
        number: Which one it is.
        listed: When it appeared.
    """
    kind = source.choices(list(STYLES), weights=(24, 20, 16, 9, 8, 5, 7, 11))[0]
    list_price, weight, gears, with_motor = STYLES[kind]
    brand = source.choice(list(BRANDS))
    built = min(listed.year, listed.year - int(source.expovariate(1 / 4.5)))
    age = listed.year - built + 0.3
    condition = source.choices(list(CONDITIONS), weights=(18, 45, 27, 10) if age < 6 else (4, 34, 42, 20))[0]
    has_motor = source.random() < with_motor
    battery = source.choice((300, 400, 500, 625, 750)) if has_motor else None
    mileage = age * source.lognormvariate(6.6 if kind != "children" else 5.0, 0.7)
    extras = source.sample(EXTRAS, source.choices((0, 1, 2, 3), weights=(45, 30, 18, 7))[0])
    season = 1 + 0.07 * math.cos((listed.timetuple().tm_yday - 130) / 365 * 2 * math.pi)
    worth = list_price * BRANDS[brand] * 0.82 * math.exp(-0.13 * age) * CONDITIONS[condition] * season
    worth *= math.exp(-mileage / 45_000) * (1 + 0.02 * len(extras))
    if battery is not None:
        # Batteries wear: what a motor adds goes down faster than the rest.
        worth += (700 + 1.6 * battery) * math.exp(-0.22 * age)
    asked = source.lognormvariate(0, 0.12)
    price = max(15, round(worth * asked / 5) * 5)
    shop = source.random() < 0.2
    fast = 1 / (1 + math.exp(9 * math.log(asked) - 6 * (season - 1) + (0.5 if shop else -0.2) - 0.3 * len(extras)))
    written = mileage / 1.609 if source.random() < 0.02 else mileage
    return {
        "ad_id": f"B-{number}",
        "listed": listed.isoformat(),
        "city": source.choice(CITIES),
        "seller": "shop" if shop else "private",
        "style": kind,
        "brand": brand if source.random() > 0.06 else None,
        "year_built": built if source.random() > 0.08 else None,
        "frame_cm": None if kind == "children" else round(source.gauss(54, 4)),
        "weight_kg": round(weight * source.gauss(1, 0.07) + (6.5 if has_motor else 0), 1)
        if source.random() > 0.3
        else None,
        "gears": source.choice(gears),
        "mileage_km": int(round(written, -2 if written > 1000 else -1)) if source.random() > 0.35 else None,
        "battery_wh": battery,
        "condition": condition if source.random() > 0.05 else None,
        "extras": ", ".join(extras) or None,
        "sold_fast": "yes" if source.random() < fast else "no",
        "price": swapped(price) if source.random() < 0.006 else price,
    }


def swapped(price: int) -> int:
    """Return a price whose first two digits were typed in the wrong order."""
    digits = str(price)
    return int(digits[1] + digits[0] + digits[2:]) if len(digits) > 2 and digits[1] != "0" else price


def main() -> None:
    """Write the file."""
    source = random.Random(20240304)
    days = sorted(source.randrange(420) for _ in range(ROWS))
    ads = [ad(source, 1001 + i, FIRST + timedelta(days=day)) for i, day in enumerate(days)]
    for newest in ads[-STILL_LISTED:]:
        newest["sold_fast"] = None
    with OUT.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(ads[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(ads)


if __name__ == "__main__":
    main()

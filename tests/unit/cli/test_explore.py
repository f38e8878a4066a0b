from __future__ import annotations

import json

import numpy as np

from nshot.cli.main import run


def test_the_command_prints_one_json_object(tmp_path, capsys):
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(size=(60, 3)), rng.normal(size=(60, 3)) + 12]).round(3)
    data = tmp_path / "rows.csv"
    data.write_text("a,b,c\n" + "\n".join(",".join(map(str, row)) for row in rows) + "\n")
    assert run(["explore", str(data), "--out", str(tmp_path / "out"), "--json", "--quiet", "--threads", "1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rows"] == 120
    assert found["n_groups"] == 2
    assert [set(group) >= {"size", "words", "typical"} for group in found["groups"]] == [True, True]
    assert run(["explore", str(data), "--out", str(tmp_path / "out"), "--quiet", "--threads", "1"]) == 0
    said = capsys.readouterr().out
    assert "2 groups" in said
    assert "nshot compare" in said


def test_a_file_that_is_not_there_is_said_so(tmp_path, capsys):
    assert run(["explore", str(tmp_path / "none.csv"), "--out", str(tmp_path / "out")]) == 2
    assert "There is no file" in capsys.readouterr().err

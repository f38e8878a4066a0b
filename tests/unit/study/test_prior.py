import numpy as np
import pytest
from safetensors.numpy import save_file

from nshot import metrics
from nshot.core import Candidate, Cost, Family, Prediction, Run, RunStatus, Task, TaskKind
from nshot.evaluation.intervals import Block
from nshot.evaluation.protocol import design
from nshot.study import words
from nshot.study.evidence import Entrant, Evidence
from nshot.study.options import StudyOptions
from nshot.study.prior import Kind, Prior, Reached, expected_advantage, noise, shipped, shrinkage
from nshot.study.spec import RunSpec
from nshot.study.verdict import conclude

KINDS = {
    "probe": Kind("linear_probe", Family.FEW_SHOT, "MiniLM"),
    "names": Kind("label_similarity", Family.ZERO_SHOT, "MiniLM"),
    "words": Kind("tfidf_linear", Family.BASELINE, None),
}
MEASURED = {"probe": 0.50, "names": 0.47, "words": 0.58}


def reached(dataset, n_labels, **scores):
    return Reached(dataset, dataset, n_labels, 4, {"macro_f1": scores})


def prior(*reached_scores, **families):
    known = {"linear_probe": Family.FEW_SHOT, "a": Family.FINE_TUNING, "b": Family.FINE_TUNING, **families}
    return Prior(tuple(reached_scores), known)


def combined(sd, kinds=KINDS, **more):
    given = {"n_measured": 24, "n_labels": 24, "classes": 4, "metric": "macro_f1", "prior": shipped(), **more}
    return shrinkage(kinds, sd**2 * np.eye(len(kinds)), **given)


class TestWhatIsUsuallyReached:
    def test_the_reference_has_no_advantage_over_itself(self):
        mean, spread = expected_advantage("linear_probe", 64, 4)
        assert mean == 0.0
        assert spread < 0.02

    def test_label_names_are_worth_most_with_the_fewest_labels(self):
        advantages = [expected_advantage("label_similarity", n, 4)[0] for n in (16, 64, 256)]
        assert advantages == sorted(advantages, reverse=True)
        assert advantages[0] > 0.0 > advantages[-1]

    def test_always_answering_the_same_is_far_behind(self):
        mean, _ = expected_advantage("majority", 256, 6)
        assert mean < -0.2

    def test_nothing_is_known_of_a_method_from_elsewhere(self):
        assert expected_advantage("somebody_elses", 64, 4) is None

    def test_numbers_of_labels_between_those_measured_are_interpolated(self):
        known = prior(
            reached("one", 16, linear_probe=0.4, a=0.5),
            reached("one", 64, linear_probe=0.6, a=0.6),
            reached("two", 16, linear_probe=0.4, a=0.5),
            reached("two", 64, linear_probe=0.6, a=0.6),
        )
        assert expected_advantage("a", 32, 4, known)[0] == pytest.approx(0.05)

    def test_a_method_whose_advantage_differs_between_data_sets_is_known_less_well(self):
        sets = [
            reached(f"set {i}", 64, linear_probe=0.5, a=0.55 + 0.001 * i, b=0.55 + 0.1 * (-1) ** i) for i in range(6)
        ]
        steady, changing = (expected_advantage(name, 64, 4, prior(*sets)) for name in "ab")
        assert changing[1] > 2 * steady[1]

    def test_data_sets_with_as_many_classes_count_most(self):
        few = Reached("few", "few", 64, 2, {"macro_f1": {"linear_probe": 0.5, "a": 0.6}})
        many = Reached("many", "many", 64, 150, {"macro_f1": {"linear_probe": 0.5, "a": 0.4}})
        assert expected_advantage("a", 64, 2, prior(few, many))[0] > 0.05
        assert expected_advantage("a", 64, 150, prior(few, many))[0] < -0.05

    def test_a_source_can_be_left_out(self):
        known = shipped()
        source = known.reached[0].source
        assert all(item.source != source for item in known.without(source).reached)
        assert len(known.without(source).reached) < len(known.reached)

    def test_it_is_written_and_read_without_loss(self):
        assert Prior.from_json(shipped().as_json()) == shipped()


class TestHowManyDataSetsStandBehindAMethod:
    def weight_of_the_measurement(self, sets):
        """Return how far a measured lead of 0.2 moves a method that was as good as the reference on so many sets."""
        rng = np.random.default_rng(0)
        usual = [reached(f"set {i}", 24, linear_probe=0.5, a=0.5 + rng.normal() * 0.02) for i in range(sets)]
        kinds = {"probe": KINDS["probe"], "a": Kind("a", Family.FINE_TUNING, "MiniLM")}
        decided = combined(0.1, kinds, prior=prior(*usual))({"probe": 0.5, "a": 0.7})
        return (decided["a"] - decided["probe"]) / 0.2

    def test_few_say_next_to_nothing_against_a_measurement(self):
        assert self.weight_of_the_measurement(3) > 0.7

    def test_many_have_a_say(self):
        assert self.weight_of_the_measurement(4) < 0.4


class TestShrinking:
    def test_a_sure_measurement_is_left_as_it_is(self):
        found = combined(sd=1e-4)(MEASURED)
        assert found == pytest.approx(MEASURED, abs=1e-3)

    def test_a_measurement_that_says_nothing_gives_way_to_what_is_usual(self):
        found = combined(sd=10.0)(MEASURED)
        usual = expected_advantage("tfidf_linear", 24, 4)[0]
        assert found["words"] - found["probe"] == pytest.approx(usual, abs=0.01)

    def test_the_surer_the_measurement_the_less_it_is_moved(self):
        leads = [found["words"] - found["probe"] for found in (combined(sd)(MEASURED) for sd in (0.01, 0.05, 0.2))]
        assert leads == sorted(leads, reverse=True)
        assert leads[0] > 0.0 > leads[-1]

    def test_how_hard_the_data_is_does_not_matter(self):
        harder = {name: score - 0.3 for name, score in MEASURED.items()}
        here, there = combined(sd=0.1)(MEASURED), combined(sd=0.1)(harder)
        assert there == pytest.approx({name: score - 0.3 for name, score in here.items()}, abs=1e-3)

    def test_some_of_the_candidates_can_be_judged_alone(self):
        found = combined(sd=0.1)({"words": 0.58, "probe": 0.50})
        assert list(found) == ["words", "probe"]
        assert found["words"] < 0.58

    def test_what_is_fitted_on_more_rows_than_were_measured_is_credited_with_them(self):
        same, more = combined(sd=0.05, n_labels=24), combined(sd=0.05, n_labels=64)
        lead = [found["probe"] - found["names"] for found in (same(MEASURED), more(MEASURED))]
        assert lead[1] > lead[0] + 0.02

    def test_a_method_from_elsewhere_is_taken_for_one_of_its_family_but_believed_sooner(self):
        known = prior(*(reached(f"set {i}", 24, linear_probe=0.5, a=0.50, b=0.52) for i in range(8)))
        kinds = {
            "probe": Kind("linear_probe", Family.FEW_SHOT, None),
            "a": Kind("a", Family.FINE_TUNING, None),
            "new": Kind("somebody_elses", Family.FINE_TUNING, None),
        }
        found = combined(0.05, kinds, prior=known)({"probe": 0.5, "a": 0.7, "new": 0.7})
        assert found["a"] < found["new"] < 0.7

    def test_another_backbone_is_not_taken_for_the_same(self):
        two = {
            "mini": Kind("linear_probe", Family.FEW_SHOT, "MiniLM"),
            "large": Kind("linear_probe", Family.FEW_SHOT, "large"),
        }
        one = {name: Kind("linear_probe", Family.FEW_SHOT, "MiniLM") for name in two}
        scores = {"mini": 0.5, "large": 0.6}
        apart, same = (combined(0.05, kinds)(scores) for kinds in (two, one))
        assert apart["large"] - apart["mini"] > same["large"] - same["mini"]
        assert apart["large"] - apart["mini"] > 0.05

    def test_of_a_metric_that_was_not_measured_nothing_is_said(self):
        assert combined(sd=0.1, metric="mcc") is None

    def test_without_anything_known_nothing_is_said(self):
        assert combined(sd=0.1, prior=Prior((), {})) is None


class TestNoise:
    METRIC = metrics.get("accuracy")

    def blocks(self, right, rows, folds=5, repeats=3, drawn=15):
        rng = np.random.default_rng(0)
        found = []
        for repeat in range(repeats):
            order = rng.permutation(rows)
            for fold, part in enumerate(np.array_split(order, folds)):
                answers = (np.random.default_rng([repeat, fold]).random(len(part)) < right).astype(float)
                found.append(Block(repeat, fold, part, answers[:, None], None))
        return found[:drawn]

    def found(self, **blocks):
        rows = sum(len(block.rows) for block in next(iter(blocks.values())) if block.repeat == 0)
        return noise(blocks, self.METRIC, target="this model", fold_sizes=(rows * 4 // 5, rows // 5))

    def test_few_rows_are_never_thought_to_be_sure(self):
        same = self.blocks(1.0, 20)
        assert np.sqrt(self.found(a=same, b=same).diagonal()) == pytest.approx(0.3 / np.sqrt(20))

    def test_more_rows_make_less_noise(self):
        few = self.found(a=self.blocks(0.7, 20), b=self.blocks(0.5, 20))
        many = self.found(a=self.blocks(0.7, 90), b=self.blocks(0.5, 90))
        assert (many.diagonal() < few.diagonal()).all()

    def test_a_candidate_with_fewer_draws_is_known_less_well(self):
        found = self.found(a=self.blocks(0.7, 60), b=self.blocks(0.5, 60), c=self.blocks(0.6, 60, drawn=5))
        assert found[2, 2] > found[0, 0]
        assert np.linalg.eigvalsh(found).min() > 0.0


class TestWords:
    def test_nothing_is_said_where_the_test_alone_picks_the_same(self):
        assert words.about_other_data(48, "probe", "probe") == []

    def test_the_reader_is_told_that_other_data_decided(self):
        [sentence] = words.about_other_data(48, "primed_probe", "tfidf_linear")
        assert "48 labels" in sentence
        assert "tfidf_linear" in sentence


class TestTheVerdict:
    METRIC = metrics.get("macro_f1")
    TASK = Task(TaskKind.CLASSIFY, ("no", "yes"))
    USUALLY_A = prior(
        *(reached(f"set {i}", n, linear_probe=0.5, a=0.9, b=0.5) for i in range(9) for n in (16, 256)),
    )

    def evidence(self, folder, rows):
        """Return two candidates of which b answered one row in 24 better than a."""
        targets = ["no", "yes"] * (rows // 2)
        groups = np.arange(rows)
        plan = design(targets, groups, seed=0)
        runs, entrants = {}, []
        for name, wrong in (("a", 4), ("b", 3)):
            candidate, specs = Candidate(name, Family.FINE_TUNING), []
            for draw in plan.draws:
                spec = RunSpec(candidate, plan.n_train, draw.repeat, draw.fold, 0, "data", None)
                truth = [targets[row] for row in draw.test]
                answers = [
                    label if row % 24 >= 2 * wrong else self.TASK.labels[label == "no"]
                    for row, label in zip(draw.test, truth, strict=True)
                ]
                statistics = self.METRIC.statistics(truth, Prediction(labels=answers), self.TASK)
                labels = np.array([self.TASK.index()[answer] for answer in answers], dtype=np.int32)
                save_file({"metric.macro_f1": statistics, "label": labels}, folder / f"{spec.key}.safetensors")
                runs[spec.key] = Run(
                    key=spec.key,
                    candidate=name,
                    n_labels=plan.n_train,
                    repeat=draw.repeat,
                    fold=draw.fold,
                    seed=0,
                    status=RunStatus.COMPLETE,
                    cost=Cost(1.0, 0.1, 1.0, 1.0, 1, 1),
                    predictions=f"{spec.key}.safetensors",
                )
                specs.append(spec)
            entrants.append(Entrant(name, name, Family.FINE_TUNING, None, {}, tuple(specs)))
        return Evidence(folder, plan, entrants=entrants, runs=runs, groups=groups, answers={})

    def verdict(self, folder, rows, known):
        found = self.evidence(folder, rows)
        return conclude(found, self.TASK, StudyOptions(prefer="score"), self.METRIC, known)

    def test_with_few_labels_what_is_usual_decides_what_the_test_cannot(self, tmp_path):
        found = self.verdict(tmp_path, 48, self.USUALLY_A)
        assert found.pick == "a"
        assert found.record["pick_by_test_alone"] == "b"
        assert any("other data" in sentence for sentence in found.record["because"])

    def test_the_printed_scores_stay_as_measured(self, tmp_path):
        rows = {
            row["candidate"]: row["score"] for row in self.verdict(tmp_path, 48, self.USUALLY_A).record["leaderboard"]
        }
        assert rows["b"] > rows["a"]

    def test_with_a_hundred_labels_the_test_decides_alone(self, tmp_path):
        found = self.verdict(tmp_path, 144, self.USUALLY_A)
        assert found.pick == found.record["pick_by_test_alone"] == "b"

    def test_without_anything_known_the_test_decides_alone(self, tmp_path):
        assert self.verdict(tmp_path, 48, Prior((), {})).pick == "b"

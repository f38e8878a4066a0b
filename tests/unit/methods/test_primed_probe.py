from unit.methods.features import accuracy, fit, heaps


def test_names_help_where_labels_are_few():
    labels = [f"class {i}" for i in range(12)]
    task, train, test, backbone = heaps(labels=labels, noise=1.2)
    few = train.take(range(12))
    assert accuracy(fit("primed_probe", task, few, backbone), test) > (
        accuracy(fit("linear_probe", task, few, backbone), test) + 0.05
    )


def test_names_that_mislead_are_outvoted_by_many_labels():
    task, train, test, backbone = heaps()
    names = ("red", "green", "blue")
    wrong = {name: backbone.vectors[other] for name, other in zip(names, ("green", "blue", "red"), strict=True)}
    backbone.vectors.update(wrong)
    assert accuracy(fit("label_similarity", task, train, backbone), test) < 0.2
    assert accuracy(fit("primed_probe", task, train, backbone), test) > 0.85


def test_a_name_worth_nothing_is_the_plain_probe():
    task, train, test, backbone = heaps(noise=1.0)
    plain = fit("linear_probe", task, train, backbone, strength=4.0).predict(test.examples).labels
    primed = fit("primed_probe", task, train, backbone, strength=4.0, name_worth=1e-6).predict(test.examples).labels
    assert sum(a == b for a, b in zip(plain, primed, strict=True)) >= len(test) - 1

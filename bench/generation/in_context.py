"""How long does in-context classification take beside the loop that everybody writes, and are the scores the same?

    OMP_NUM_THREADS=1 python bench/generation/in_context.py [--examples 20] [--shots 16] [--turns 3]

TREC (../shared/data/text/trec), 6 labels, 16 labelled examples before every question. Two decoders: one of 6 layers and
width 256 with random weights and a vocabulary of 8,000 (made here), and stories260K (../shared/models). Scored three
ways in turn, the fastest of three counting, in one process and float32:

- one by one: a forward pass of transformers for each (question, label), the whole prompt every time
- batched:    a forward pass for each question, its labels as a batch, padded
- nshot:      `Scores.score` with the labelled examples as ``before``, which it reads within the time

The prompts are the same tokens. stories260K takes in 512 tokens, so fewer examples fit there. At the end: what the
methods prompt and in_context score with stories260K, which has read nothing but children's stories.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from nshot import methods, metrics
from nshot.backbones import open_backbone
from nshot.core import Dataset, FitContext, Task, TaskKind

SHARED = Path(__file__).resolve().parents[3] / "shared"
STORIES = SHARED / "models" / "stories260K"
SETS = {"trec": ("text", "label"), "ag_news": ("text", "topic")}
_WORDS = 8_000


def read(name, part):
    text, label = SETS[name]
    folder = SHARED / "data" / "text" / name
    path = folder / f"{part}.csv" if (folder / f"{part}.csv").exists() else folder / "rows.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if path.stem == "rows":
        order = np.random.default_rng(0).permutation(len(rows))
        cut = len(rows) // 4
        rows = [rows[i] for i in (order[:cut] if part == "test" else order[cut:])]
    return Dataset([row[text] for row in rows], targets=[row[label] for row in rows], name=f"{name} {part}")


def random_decoder(folder, texts):
    """Write a decoder with random weights and a tokenizer learnt from `texts`."""
    import tokenizers
    import transformers

    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=_WORDS,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>", model_max_length=2048
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=6,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=2048,
        bos_token_id=0,
        eos_token_id=1,
        initializer_range=0.1,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)


class Naive:
    """The loops, with the model as transformers opens it."""

    def __init__(self, folder, decoder):
        import transformers

        self.network = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.decoder = decoder

    def prompts(self, question, labels, before):
        """Return tokens of the whole prompt with each label, and which of them are the label's."""
        from nshot.core import as_conversation

        made = self.decoder.conversations([as_conversation(question, before)] * len(labels), labels)
        # The last token ends the answer: it is no part of the label.
        return [(torch.tensor(text.ids[:-1]), torch.tensor(text.learnt[:-1])) for text in made]

    def one_by_one(self, questions, labels, before):
        """Return the log-probability of each label after each question, shape (questions, labels)."""
        rows = []
        for question in questions:
            rows.append([])
            for ids, learnt in self.prompts(question, labels, before):
                with torch.inference_mode():
                    shares = self.network(ids[None]).logits[0].log_softmax(-1)
                found = shares[:-1].gather(1, ids[1:, None])[:, 0]
                rows[-1].append(float(found[learnt[1:]].sum()))
        return np.array(rows)

    def batched(self, questions, labels, before):
        """Return the same, the labels of a question in one batch."""
        rows = []
        for question in questions:
            made = self.prompts(question, labels, before)
            ids = torch.nn.utils.rnn.pad_sequence([one for one, _ in made], batch_first=True)
            learnt = torch.nn.utils.rnn.pad_sequence([one for _, one in made], batch_first=True)
            real = torch.nn.utils.rnn.pad_sequence([torch.ones_like(one) for one, _ in made], batch_first=True)
            with torch.inference_mode():
                shares = self.network(ids, attention_mask=real).logits.log_softmax(-1)
            found = shares[:, :-1].gather(2, ids[:, 1:, None])[:, :, 0]
            rows.append((found * learnt[:, 1:]).sum(1).tolist())
        return np.array(rows)


def fitted(name, task, train, decoder, seed=0, **options):
    context = FitContext(lambda targets, prediction: 0.0, seed=seed, open=open_backbone)
    return methods.build(name, options).fit(task, train, train.without_targets(), decoder, context)


def speed(name, folder, train, test, n, shots, turns):
    decoder = open_backbone(str(folder), precision="fp32", device="cpu", threads=torch.get_num_threads())
    task = Task(TaskKind.CLASSIFY, tuple(sorted(set(train.targets))))
    predictor = fitted("in_context", task, train.take(range(200)), decoder, shots=shots)
    shown = predictor.state().settings["shown"]
    before = (*predictor.reader.question(), *predictor.examples.turns(range(shown)))
    labels, questions = predictor.reader.texts(), test.examples[:n]
    tokens = decoder.prompt_tokens(questions, before=before)
    naive = Naive(folder, decoder)

    def by_nshot(asked):
        # A decoder opened anew has read nothing yet: the examples' own reading counts.
        fresh = open_backbone(str(folder), precision="fp32", device="cpu", threads=torch.get_num_threads())
        fresh.score(["?"], ["!"])  # its weights are read here
        start = time.perf_counter()
        return fresh.score(asked, labels, before=before), time.perf_counter() - start

    def by(loop):
        def timed(asked):
            start = time.perf_counter()
            return loop(asked, labels, before), time.perf_counter() - start

        return timed

    ways = {"one by one": by(naive.one_by_one), "batched": by(naive.batched), "nshot": by_nshot}
    print(f"\n{name}: {shown} examples shown, {np.mean(tokens):.0f} tokens a prompt, {len(labels)} labels, n = {n}")
    print(f"{'':12} {'seconds':>9} {'ms/question':>12} {'times':>7} {'largest difference in nats':>28}")
    for score in ways.values():
        score(test.examples[n : n + 1])  # what is set up once is no part of it
    seconds, scores = dict.fromkeys(ways, np.inf), {}
    for _ in range(turns):
        for way, score in ways.items():
            scores[way], taken = score(questions)
            seconds[way] = min(seconds[way], taken)
    for way in ways:
        difference = np.abs(scores[way] - scores["one by one"]).max()
        print(
            f"{way:12} {seconds[way]:9.2f} {1000 * seconds[way] / n:12.1f} {seconds['one by one'] / seconds[way]:7.1f}"
            f" {difference:28.1e}"
        )


def accuracy(n, shots):
    print(f"\nstories260K, {n} test texts (macro F1; accuracy), seeds 0 to 2")
    decoder = open_backbone(str(STORIES), precision="fp32", device="cpu", threads=torch.get_num_threads())
    for name in SETS:
        train, test = read(name, "train"), read(name, "test").take(range(n))
        task = Task(TaskKind.CLASSIFY, tuple(sorted(set(train.targets))))
        for method, options in (
            ("majority", {}),
            ("prompt", {}),
            ("in_context", {"shots": shots}),
            ("in_context", {"shots": shots, "choose": "nearest"}),
        ):
            found = []
            for seed in range(1 if method != "in_context" else 3):
                rows = np.random.default_rng(seed).permutation(len(train))[:200]
                backbone = None if method == "majority" else decoder
                answers = fitted(method, task, train.take(rows), backbone, seed, **options).predict(test.examples)
                found.append(
                    [metrics.get(metric).score(test.targets, answers, task) for metric in ("macro_f1", "accuracy")]
                )
            shown = " ".join([method, *(str(value) for key, value in options.items() if key == "choose")])
            print(f"{name:8} {shown:20} {np.mean(found, 0)[0]:.3f} {np.mean(found, 0)[1]:.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=20, help="questions that are timed")
    parser.add_argument("--shots", type=int, default=16, help="labelled examples before every question")
    parser.add_argument("--turns", type=int, default=3, help="how often each way is timed, in turn; the fastest counts")
    parser.add_argument("--scored", type=int, default=200, help="test texts of the last table; 0: leave it out")
    given = parser.parse_args()
    train, test = read("trec", "train"), read("trec", "test")
    with tempfile.TemporaryDirectory() as folder:
        random_decoder(folder, [*train.examples, *read("ag_news", "train").examples])
        speed("6 layers x 256, random weights", folder, train, test, given.examples, given.shots, given.turns)
    speed("stories260K", STORIES, train, test, given.examples, given.shots, given.turns)
    if given.scored:
        accuracy(given.scored, given.shots)


if __name__ == "__main__":
    main()

"""Metrics of captions that exist only for a corpus: BLEU, METEOR, ROUGE-L and CIDEr, with bootstrap intervals.

The values are those of lmms-eval's aggregations. The intervals come from resampling documents (percentile
bootstrap), from statistics of each document that pycocoevalcap computes; the statistics of all documents
together give lmms-eval's value, which is checked.

- BLEU: counts of n-grams and lengths, which are summed over a resample (`bleu_scorer.py`).
- METEOR: the counts that its program prints for a document, which are summed and passed to its EVAL.
- ROUGE-L: the mean of the documents' values.
- CIDEr: the mean of the documents' values, with the document frequencies of the whole corpus in each resample.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ssl4rl_bench.core.errors import MissingDependency
from ssl4rl_bench.core.identity import sha256_json
from ssl4rl_bench.stats.bootstrap import RESAMPLES, SEED, Statistic, packed, percentiles, resampled

if TYPE_CHECKING:
    from ssl4rl_bench.task.lmms.configured import Configured
    from ssl4rl_bench.task.lmms.registry_files import Registered
    from ssl4rl_bench.task.lmms.task import Reply

KINDS = ("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "METEOR", "ROUGE_L", "CIDEr")
"""The metrics, as the names of lmms-eval's metrics end."""
_NEAR = 1e-6
_Floats = NDArray[np.float64]


def is_corpus(metric: str) -> bool:
    """Checks whether a metric is one of `KINDS`, such as `coco_CIDEr`."""
    return metric.rpartition("_")[2] in KINDS or metric.endswith(tuple(f"_{kind}" for kind in KINDS))


def check_java(task: Registered) -> None:
    """Checks that a task of captions has the Java that its tokenizer and METEOR need.

    Raises:
        MissingDependency: there is none.
    """
    names = [str(metric.get("metric")) for metric in task.config.get("metric_list") or ()]
    if any(map(is_corpus, names)) and shutil.which("java") is None:
        raise MissingDependency(
            f"lmms:{task.name} is scored with the Stanford tokenizer and METEOR, which need a Java runtime: "
            "apt-get install default-jre-headless"
        )


def caption_metrics(configured: Configured, replies: Sequence[Reply]) -> dict[str, Any]:
    """Computes the metrics of a task whose replies have no scores of their own.

    Returns:
        By metric: `value`, `n` documents, `higher_is_better`, `of` "corpus", `ci95`, and for the metrics of
        captions `bootstrap` {resamples, seed, documents, replicates}. `documents` is a digest of the documents
        that were resampled; `replicates` are the resampled values (`bootstrap.packed`). Runs with the same
        `documents` have the same resamples, so that their replicates can be subtracted. Without an interval,
        `ci95` is None. Only the first repeat counts.
    """
    from ssl4rl_bench.task.lmms.task import complete_replies, number

    chosen = sorted(
        (int(sample.id), completion.text)
        for sample, repeat, completion in complete_replies(replies)
        if not repeat
    )
    results = [configured.score(place, text) for place, text in chosen]
    out: dict[str, Any] = {}
    with _tokenized_once():
        for name in configured.metrics:
            items = [result[name] for result in results if name in result]
            if not items:
                continue
            value = number(configured.aggregate(name, items))
            out[name] = {
                "value": value,
                "n": len(items),
                "higher_is_better": configured.higher_is_better(name),
                "of": "corpus",
                **_bootstrapped(name, value, items, sha256_json([place for place, _ in chosen])),
            }
    return out


def _bootstrapped(name: str, value: float | None, items: Sequence[Any], documents: str) -> dict[str, Any]:
    """Returns the interval of a metric, and its resampled values."""
    kind = next((kind for kind in KINDS if name.endswith(kind)), None)
    statistic = None if value is None or kind is None else _statistic(kind, items)
    if statistic is None or len(items) < 2:
        return {"ci95": None}
    with statistic as function:
        ones = np.ones((1, len(items)))
        if value is None or abs(float(function(ones)[0]) - value) > _NEAR * max(1.0, abs(value)):
            return {"ci95": None}
        values = resampled(function, len(items))
    return {
        "ci95": list(percentiles(values)),
        "bootstrap": {
            "resamples": RESAMPLES,
            "seed": SEED,
            "documents": documents,
            "replicates": packed(values),
        },
    }


def _statistic(kind: str, items: Sequence[Any]) -> contextlib.AbstractContextManager[Statistic] | None:
    """Returns a statistic, which may hold a process; None if the items are no captions of different images."""
    keys = ("answer", "pred", "image_id")
    if not all(isinstance(item, Mapping) and all(key in item for key in keys) for item in items):
        return None
    if len({item["image_id"] for item in items}) < len(items):
        return None
    right = _tokens({n: [{"caption": text} for text in item["answer"]] for n, item in enumerate(items)})
    given = _tokens({n: [{"caption": item["pred"]}] for n, item in enumerate(items)})
    if kind == "METEOR":
        return _meteor(right, given)
    if kind in ("ROUGE_L", "CIDEr"):
        return contextlib.nullcontext(_mean(kind, right, given))
    return contextlib.nullcontext(_bleu(int(kind[-1]), right, given))


Captions = Mapping[int, list[str]]


def _tokens(captions: Mapping[int, list[dict[str, str]]]) -> Captions:
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    tokens: Captions = PTBTokenizer().tokenize(captions)
    return tokens


def _mean(kind: str, right: Captions, given: Captions) -> Statistic:
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    scorer = Cider() if kind == "CIDEr" else Rouge()
    scores = np.asarray(scorer.compute_score(right, given)[1], np.float64)
    return lambda weights: np.asarray(weights @ scores / weights.sum(axis=1))


def _bleu(order: int, right: Captions, given: Captions) -> Statistic:
    from pycocoevalcap.bleu.bleu_scorer import BleuScorer

    scorer = BleuScorer(n=4)
    for place, texts in given.items():
        scorer += (texts[0], right[place])
    correct, guess = (
        np.array([one[key] for one in scorer.ctest], np.float64) for key in ("correct", "guess")
    )
    length = np.array([one["testlen"] for one in scorer.ctest], np.float64)
    closest = [
        min((abs(other - one["testlen"]), other) for other in one["reflen"])[1] for one in scorer.ctest
    ]
    small, tiny = 1e-9, 1e-15  # the constants of bleu_scorer.py

    def value(weights: _Floats) -> _Floats:
        precision = ((weights @ correct) + tiny) / ((weights @ guess) + small)
        ratio = ((weights @ length) + tiny) / ((weights @ np.array(closest, np.float64)) + small)
        penalty = np.where(ratio < 1, np.exp(1 - 1 / np.minimum(ratio, 1.0)), 1.0)
        return np.asarray(np.prod(precision[:, :order], axis=1) ** (1.0 / order) * penalty)

    return value


@contextlib.contextmanager
def _meteor(right: Captions, given: Captions) -> Iterator[Statistic]:
    from pycocoevalcap.meteor.meteor import Meteor

    scorer = Meteor()
    process = scorer.meteor_p
    try:
        counts = np.array(
            [[float(x) for x in scorer._stat(texts[0], right[n]).split()] for n, texts in given.items()]
        )

        # METEOR does not count the one chunk of a caption that equals a reference in its sums.
        perfect = (counts[:, 0] == counts[:, 1]) & (counts[:, -2] == counts[:, 0]) & (counts[:, -3] == 1.0)
        counts[perfect, -3] = 0.0

        def value(weights: _Floats) -> _Floats:
            out = []
            for row in weights @ counts:
                process.stdin.write(f"EVAL ||| {' '.join(map(str, row))}\n".encode())
                process.stdin.flush()
                process.stdout.readline()  # the value of the one segment; the next line is that of the corpus
                out.append(float(process.stdout.readline()))
            return np.array(out)

        yield value
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def _tokenized_once() -> Iterator[None]:
    """Context manager: equal captions are tokenized once, not once per metric, which starts Java every time."""
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    original, known = PTBTokenizer.tokenize, {}

    def tokenize(self: Any, captions: Mapping[Any, Sequence[Mapping[str, str]]]) -> dict[Any, list[str]]:
        texts = tuple(tuple(one["caption"] for one in group) for group in captions.values())
        if texts not in known:
            known[texts] = list(original(self, captions).values())
        return {place: list(group) for place, group in zip(captions, known[texts], strict=True)}

    PTBTokenizer.tokenize = tokenize
    try:
        yield
    finally:
        PTBTokenizer.tokenize = original

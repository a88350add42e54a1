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
import threading
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
    items = {
        name: held
        for name in configured.metrics
        if (held := [result[name] for result in results if name in result])
    }
    with _fewer_programs():
        values = {name: number(configured.aggregate(name, held)) for name, held in items.items()}
        texts = _tokenized(next(iter(items.values()), ()))
        documents = sha256_json([place for place, _ in chosen])
        return {
            name: {
                "value": value,
                "n": len(items[name]),
                "higher_is_better": configured.higher_is_better(name),
                "of": "corpus",
                **_bootstrapped(name, value, texts, documents),
            }
            for name, value in values.items()
        }


Captions = Mapping[int, list[str]]
"""Tokenized captions, by document."""


def _bootstrapped(
    name: str, value: float | None, texts: tuple[Captions, Captions] | None, documents: str
) -> dict[str, Any]:
    """Returns the interval of a metric, and its resampled values."""
    kind = next((kind for kind in KINDS if name.endswith(kind)), None)
    if value is None or kind is None or texts is None or len(texts[0]) < 2:
        return {"ci95": None}
    n = len(texts[0])
    statistic = _statistic(kind, *texts)
    if abs(float(statistic(np.ones((1, n)))[0]) - value) > _NEAR * max(1.0, abs(value)):
        return {"ci95": None}
    values = resampled(statistic, n)
    stored = {"resamples": RESAMPLES, "seed": SEED, "documents": documents, "replicates": packed(values)}
    return {"ci95": list(percentiles(values)), "bootstrap": stored}


def _tokenized(items: Sequence[Any]) -> tuple[Captions, Captions] | None:
    """Returns the references and the captions; None if the items are no captions of different images."""
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    keys = ("answer", "pred", "image_id")
    if not all(isinstance(item, Mapping) and all(key in item for key in keys) for item in items):
        return None
    if not items or len({item["image_id"] for item in items}) < len(items):
        return None
    right = {n: [{"caption": text} for text in item["answer"]] for n, item in enumerate(items)}
    given = {n: [{"caption": item["pred"]}] for n, item in enumerate(items)}
    return PTBTokenizer().tokenize(right), PTBTokenizer().tokenize(given)


def _statistic(kind: str, right: Captions, given: Captions) -> Statistic:
    """Returns a statistic of resamples. That of METEOR needs `_fewer_programs` to be entered."""
    if kind == "METEOR":
        return _meteor(right, given)
    if kind in ("ROUGE_L", "CIDEr"):
        return _mean(kind, right, given)
    return _bleu(int(kind[-1]), right, given)


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


def _meteor(right: Captions, given: Captions) -> Statistic:
    from pycocoevalcap.meteor.meteor import Meteor

    scorer = Meteor()
    counts = np.array(
        [[float(x) for x in scorer._stat(texts[0], right[n]).split()] for n, texts in given.items()]
    )
    process = scorer.meteor_p

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

    return value


@contextlib.contextmanager
def _fewer_programs() -> Iterator[None]:
    """Context manager: starts Java three times, instead of three times per metric as lmms-eval's aggregations do.

    Equal captions are tokenized once, and all scorers of METEOR share one program, which takes ten seconds to
    load its table and starts at its first use. Values do not change.
    """
    from pycocoevalcap.meteor.meteor import Meteor
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    tokenize, start, stat = PTBTokenizer.tokenize, Meteor.__init__, Meteor._stat
    end = Meteor.__del__
    known: dict[Any, list[list[str]]] = {}
    running: list[Any] = []

    def once(self: Any, captions: Mapping[Any, Sequence[Mapping[str, str]]]) -> dict[Any, list[str]]:
        texts = tuple(tuple(one["caption"] for one in group) for group in captions.values())
        if texts not in known:
            known[texts] = list(tokenize(self, captions).values())
        return {place: list(group) for place, group in zip(captions, known[texts], strict=True)}

    def shared(self: Any, text: str, references: list[str]) -> Any:
        if not running:
            lock = self.lock
            start(self)
            running.append(self.meteor_p)
            self.lock = lock  # which `compute_score` holds
        self.meteor_p = running[0]
        return stat(self, text, references)

    def prepared(self: Any) -> None:
        self.lock = threading.RLock()  # `compute_score` does not release it after an error

    PTBTokenizer.tokenize, Meteor.__init__, Meteor._stat = once, prepared, shared
    Meteor.__del__ = lambda self: None
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.communicate()
        PTBTokenizer.tokenize, Meteor.__init__, Meteor._stat = tokenize, start, stat
        Meteor.__del__ = end

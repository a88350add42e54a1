"""Times the answer reader over 100,000 random and 10,000 adversarial replies, for each extractor.

    python benchmarks/read_replies.py [--random 100000] [--adversarial 10000] [--seed 0] [--extractor default ...]

Random replies resemble those of models: reasoning made of the tests' prose, then an answer in one of the tests'
natural phrasings, or none; half have thinking and a tag. Adversarial replies repeat what the reader's rules
search for, or hostile Unicode, up to a million characters (one in 20 is that long). Prints microseconds per
reply: median, 99th percentile and maximum, separately and together. CPU time is measured, so that other work on
the machine has little effect.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from ssl4rl_bench.task import extract

DATA = Path(__file__).resolve().parent.parent / "tests" / "data"
MEGABYTE = 1_000_000

CHOICES: tuple[Mapping[str, str], ...] = (
    {"A": "red", "B": "dark red", "C": "a cat", "D": "None"},
    {"A": "红色", "B": "深红色", "C": "一只猫", "D": "以上都不对"},
    {chr(65 + i): f"thing number {i}" for i in range(26)},
    {"A": "B", "B": "C", "C": "D", "D": "A"},
    {"A": "1", "B": "10", "C": "-1", "D": "3.5", "E": "1,000"},
    {"A": "red", "B": "red"},
    {"A": "", "B": " ", "C": ".", "D": "N/A"},
    {"A": "(a+)+$", "B": "[^\\", "C": "<answer>D</answer>", "D": "</think>"},
    {"A": "the man on the left " * 20, "B": "the man on the left " * 20 + "waves", "C": "İstanbul", "D": "ſ"},
)
"""Choices with nested, equal, empty, hostile and long texts, with numbers and letters, and with 2 to 26
options."""

HOSTILE = (
    *("<", ">", "</", "<think", "<think>", "</think>", "<answer>", "</answer>", "<answer>A"),
    *("<answer><think>", "sorry ", "I can't "),
    *("answer", "answer ", "answer is ", "the answer is A ", "The answer is A or ", "answer: ", "answer to "),
    *("answer that ", "correct ", "correct a ", "option ", "choose ", "best ", "most likely "),
    *("B is correct. ", "B is ", "A. ", "A) ", "A or ", "A, ", "A", "a", "B\n", "I ", "not ", "so ", "if "),
    *("\\boxed{", "\\boxed{A}", "{", "((", "))", "**", "$", "`", '"', "'", "_", ".", "-", "—", ":"),
    *("…", "\ufffd", "答案", "答案是", "选", "选A", "正确", "的正确", "不", "Ａ", "ｂ", "：", "（", "。"),
    *(" ", "\t", "\n", "\r\n", "\x00", "\x1b[31m", "\x85", "\xa0", "\u200b", "\u202e", "\u3000", "\u0301"),
    *("İ", "ſ", "\u212a", "ß", "ﬁ", "ﷺ", "𝐀", "👩", "\ud800", "\udfff", "\uffff"),
    *("red", "dark red", "thing number 1"),
)
"""Strings that the rules search for, characters whose length changes in lower case or by normalisation, and
lone surrogates."""


def _lines(name: str) -> list[str]:
    text = (DATA / name).read_text(encoding="utf-8")
    return [json.loads(line)["reply"] for line in text.splitlines()]


def random_replies(count: int, seed: int) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yields replies as models write them, each with its choices; equal for equal seeds."""
    rng = random.Random(seed)
    natural, prose = _lines("replies_natural.jsonl"), _lines("replies_prose.jsonl")
    for _ in range(count):
        choices = rng.choice(CHOICES)
        letter = rng.choice(list(choices))
        ending = rng.choice([*natural, "<answer>{L}</answer>", "", "{T} {L}", "{l}"])
        ending = ending.format(L=letter, l=letter.lower(), T=choices[letter], F=chr(ord(letter) + 0xFEE0))
        reasoning = rng.choice([" ", "\n"]).join(rng.choices(prose, k=rng.randrange(25)))
        if rng.random() < 0.5:
            yield f"<think>{reasoning}</think> <answer>{letter}</answer>", choices
        else:
            yield f"{reasoning}\n{ending}", choices


def adversarial_replies(count: int, seed: int) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yields hostile replies of 1 to a million characters, each with its choices; equal for equal seeds."""
    rng = random.Random(seed)
    for number in range(count):
        size = MEGABYTE if number % 20 == 0 else int(10 ** rng.uniform(0, 5))
        units = rng.choices(HOSTILE, k=rng.choice((1, 1, 2, 3, 8)))
        block = "".join(rng.choices(units, k=rng.choice((1, 4, 64))))
        body = (block * (size // len(block) + 1))[:size]
        head, tail = rng.choices(("", "", *HOSTILE), k=2)
        yield head + body + tail, rng.choice(CHOICES)


def measure(replies: Iterator[tuple[str, Mapping[str, str]]], extractor: str) -> list[float]:
    """Returns the CPU time of each reply in microseconds."""
    times = []
    for text, choices in replies:
        start = time.process_time_ns()
        extract.read(text, choices, "stop", extractor)
        times.append((time.process_time_ns() - start) / 1000)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--random", type=int, default=100_000)
    parser.add_argument("--adversarial", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    names = [name for name in extract.EXTRACTORS if extract.check_extractor(name) == name]
    parser.add_argument("--extractor", nargs="+", default=names)
    args = parser.parse_args()
    print(f"{'extractor':20} {'replies':12} {'n':>8} {'median':>9} {'p99':>9} {'max':>9}  (microseconds)")
    for extractor in args.extractor:
        extract.read("", CHOICES[0], "stop", extractor)
        usual = measure(random_replies(args.random, args.seed), extractor)
        hostile = measure(adversarial_replies(args.adversarial, args.seed), extractor)
        for name, measured in (("random", usual), ("adversarial", hostile), ("all", usual + hostile)):
            times = sorted(measured) or [0.0]
            p99 = times[min(len(times) - 1, int(0.99 * len(times)))]
            figures = f"{times[len(times) // 2]:9.1f} {p99:9.1f} {times[-1]:9.1f}"
            print(f"{extractor:20} {name:12} {len(times):8} {figures}", flush=True)


if __name__ == "__main__":
    main()

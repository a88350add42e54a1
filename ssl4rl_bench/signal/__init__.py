"""Says before a training whether there is a signal to learn from, and whether a model sees (`advise`).

| file | what it does |
|---|---|
| `advising` | `advise`: asks the model, measures the margin, and judges each task |
| `of_model` | the Python API of `advise` |
| `asking` | samples replies, and takes the settings from a recipe |
| `rewards` | what the replies earn, would earn for other targets, and what a blind reply earns |
| `verdicts` | the rules for the verdicts, and what to change |
| `tables` | the result as text, JSON and Markdown |
"""

from ssl4rl_bench.signal.advising import Advice, TaskAdvice, advise

__all__ = ["Advice", "TaskAdvice", "advise"]

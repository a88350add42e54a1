"""Says before a training whether there is a signal to learn from (`advise`), and whether a model looks (`attend`).

| file | what it does |
|---|---|
| `advising` | `advise`: asks the model, measures the margin, and judges each task |
| `of_model` | the Python API of `advise` |
| `asking` | samples replies, and takes the settings from a recipe |
| `rewards` | what the replies earn, would earn for other targets, and what a blind reply earns |
| `verdicts` | the rules for the verdicts, and what to change |
| `tables` | the result as text, JSON and Markdown |
| `attending` | `attend`: measures checkpoints one after the other, and writes the result |
| `looked_at`, `occlusion` | its questions, and the boxes of their pictures that are hidden |
| `margins`, `attention` | what is measured: margins of the right options, and attention by layer |
| `attend_store` | what was measured on a checkpoint, saved and read again |
| `sight`, `attend_tables` | the effects and their differences, and their presentation |
"""

from ssl4rl_bench.signal.advising import Advice, TaskAdvice, advise
from ssl4rl_bench.signal.attending import AttendSettings, attend
from ssl4rl_bench.signal.sight import AttendResult

__all__ = ["Advice", "AttendResult", "AttendSettings", "TaskAdvice", "advise", "attend"]

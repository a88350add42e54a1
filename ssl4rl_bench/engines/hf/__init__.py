"""The reference engine: runs a checkpoint with transformers in this process, in batches.

| file | what it does |
|---|---|
| `engine` | `HfEngine`, which the registry of engines creates |
| `load` | loads a checkpoint |
| `scheduling` | which requests run when; divides batches that fail |
| `grouping` | which parts of prompts are computed once |
| `prompts` | tokenizes prompts and processes images, each once |
| `network` | answers batches with `generate` of transformers, for any model |
| `sharing` | answers batches with shared prompts, for the Qwen-VL families |
| `rows`, `cache` | replies in progress; their keys and values |
| `forced` | log-likelihoods of given replies |
| `looking` | the attention of the last token to an image, by layer |
| `attention` | attention without copies of keys and values |
| `sampling` | draws the next token, with a seed per request |
"""

from ssl4rl_bench.engines.hf.engine import HfEngine

__all__ = ["HfEngine"]

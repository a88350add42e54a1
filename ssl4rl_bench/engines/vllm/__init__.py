"""The engine that runs vLLM on this machine, on GPUs or CPUs, with continuous batching over lazy requests.

| file | what it does |
|---|---|
| `engine` | `VllmEngine`, which the registry of engines creates |
| `server` | a running vLLM: keeps it supplied with prompts and yields its replies |
| `feed` | prepares prompts in a thread of this process |
| `renderers` | prepares prompts in processes (`renderer` is the program that they run) |
| `arguments` | vLLM's arguments and environment |
| `adapter` | all uses of vLLM's internals |
"""

from ssl4rl_bench.cli.progress import Terminal as Progress
from ssl4rl_bench.comparison.explaining.explain import explain as explain
from ssl4rl_bench.comparison.explaining.explanation import Explanation as Explanation
from ssl4rl_bench.comparison.of_runs import Comparisons as Comparisons
from ssl4rl_bench.comparison.of_runs import compare as compare
from ssl4rl_bench.datasets.fetching import fetch as fetch
from ssl4rl_bench.evaluation import evaluate as evaluate
from ssl4rl_bench.gating.judge import Gate as Gate
from ssl4rl_bench.gating.of_runs import gate as gate
from ssl4rl_bench.interop.exports import export_run as export_run
from ssl4rl_bench.interop.predictions.importing import import_predictions as import_predictions
from ssl4rl_bench.score.merging import merge as merge
from ssl4rl_bench.score.runs import Run as Run
from ssl4rl_bench.score.runs import Runs as Runs
from ssl4rl_bench.score.runs import load_runs as load_runs
from ssl4rl_bench.score.runs import open_run as open_run
from ssl4rl_bench.signal.advising import Advice as Advice
from ssl4rl_bench.signal.of_model import advise as advise
from ssl4rl_bench.task.handle import TaskHandle as TaskHandle
from ssl4rl_bench.task.handle import load_task as load_task
from ssl4rl_bench.task.taskfile import task_names as task_names
from ssl4rl_bench.train.rewards import SSLReward as SSLReward
from ssl4rl_bench.train.rewards import make_reward as make_reward

__all__ = [
    "Advice",
    "Comparisons",
    "Explanation",
    "Gate",
    "Progress",
    "Run",
    "Runs",
    "SSLReward",
    "TaskHandle",
    "advise",
    "compare",
    "evaluate",
    "explain",
    "export_run",
    "fetch",
    "gate",
    "import_predictions",
    "load_runs",
    "load_task",
    "make_reward",
    "merge",
    "open_run",
    "task_names",
]

__version__: str

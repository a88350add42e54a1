"""`ssl4rl-bench interpolate`: writes a checkpoint between a base and the checkpoint trained from it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from ssl4rl_bench.core.output import say


def interpolate(
    checkpoint: Annotated[str, Argument(help="The trained checkpoint: folder, bundled name or hub id.")],
    share: Annotated[
        float,
        Option("--share", "-s", help="Position between the two: 0 is the base, 1 the trained checkpoint."),
    ],
    out: Annotated[Path, Option("--out", "-o", help="Folder of the new checkpoint.")],
    base: Annotated[
        str | None, Option(help="The checkpoint that it was trained from (default: as its ssl4rl.json says).")
    ] = None,
) -> None:
    """Write a checkpoint interpolated between a base and its trained version, weight by weight.

    Interpolation often keeps most of what training improved, and restores much of what the model had forgotten.
    Evaluate several shares on other questions than those that you report.

    Example:
      ssl4rl-bench interpolate checkpoints/tiny-rotation/step-000150 --share 0.5 --out checkpoints/half

    Exit codes: 0 done; 2 bad input; 4 internal failure.
    """
    from ssl4rl_bench.core.errors import MissingDependency
    from ssl4rl_bench.engines.checkpoints.weights import resolve_model
    from ssl4rl_bench.train.interpolate import base_of, interpolate_checkpoints

    model = resolve_model(checkpoint)
    base_of(model, base)
    try:
        import safetensors.torch  # noqa: F401
    except ImportError:
        raise MissingDependency.of("interpolate needs torch", "hf") from None
    result = interpolate_checkpoints(model, share, out, base)
    say(f"{result}: evaluate it with `ssl4rl-bench run --model {result}`")

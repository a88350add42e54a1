"""Sends results to experiment trackers: TensorBoard, Weights & Biases and trackio.

`records` turns results and verdicts into scalars and texts at a trainer's step, `sending` opens the trackers that
`--log` names and skips what was sent before, and one module per tracker writes. Results are on disk before anything
is sent, and a tracker that fails changes neither results nor exit codes.
"""

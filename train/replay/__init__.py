"""Replay: questions about other abilities, asked during GRPO so that these abilities are kept.

`settings` defines the recipe's table, `questions` loads the questions, `schedule` chooses those of a step, and
`prepare` audits them and records what is used. With kind "self", `replies` keeps the base's own replies and `loss`
adds their negative log-likelihood to the loss. With kind "reward", `rows` and `reward` make the questions prompts
of GRPO.
"""

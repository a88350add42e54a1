"""What a recipe will do, before it does it: sizes, memory, and length of a run; needs neither torch nor a network."""

"""Makes the bundled tiny models by supervised training on the scenes, from recipes with different keys."""

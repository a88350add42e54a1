"""Makes the bundled tiny models: supervised training on the scenes, from a recipe of its own."""

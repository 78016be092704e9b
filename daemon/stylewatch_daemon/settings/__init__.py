"""The settings: the sections of config.yaml, those of a job, and how they are loaded.

It may import `files`, `base` and the painter's recipes; the module `executors` loads what packages
bring. Begin with `sections` and `job`, the keys, then `config`, which merges their sources.
"""

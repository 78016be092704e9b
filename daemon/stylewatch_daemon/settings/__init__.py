"""Settings of the daemon and of jobs: the models, YAML with line numbers, overrides."""

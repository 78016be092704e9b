"""Settings: the sections of config.yaml, the settings of a job, and how they are loaded."""

"""Several variants of a config, trained with the same seeds: what to run, and what the results say."""

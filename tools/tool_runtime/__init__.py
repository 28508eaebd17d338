"""What the tools share: configs, processes, checkpoints, trainings on record, and errors for the user."""

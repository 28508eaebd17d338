"""Module paths of version 0.1, which configs name; until 0.3. What they hold is in :mod:`mmdet_losses.data`."""

"""What the command-line tools call: data sets, runtime set-up and comparisons."""

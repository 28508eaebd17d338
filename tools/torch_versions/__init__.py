"""Run the losses on the torch versions that the project declares, see `tools/torch_matrix.py`."""

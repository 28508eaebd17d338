"""The box-regression simulation of the DIoU paper: how a loss moves boxes onto their targets, without images."""

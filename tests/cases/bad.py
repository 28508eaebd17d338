"""Input at the edge of what is representable, and beyond what is sensible."""

import torch

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]

BAD_BOXES = {
    "equal, 100": ([10, 20, 110, 120], [10, 20, 110, 120]),
    "equal, side 3": ([7, 7, 10, 10], [7, 7, 10, 10]),
    "equal, 1e-3": ([0, 0, 1e-3, 1e-3], [0, 0, 1e-3, 1e-3]),
    "equal, 1e5": ([0, 0, 1e5, 1e5], [0, 0, 1e5, 1e5]),
    "equal, 1e6": ([-1e6, -1e6, 1e6, 1e6], [-1e6, -1e6, 1e6, 1e6]),
    "width 0": ([5, 0, 5, 10], [0, 0, 10, 10]),
    "height 0": ([0, 5, 10, 5], [0, 0, 10, 10]),
    "point": ([5, 5, 5, 5], [0, 0, 10, 10]),
    "point far off": ([1e6, 1e6, 1e6, 1e6], [0, 0, 10, 10]),
    "target of width 0": ([0, 0, 10, 10], [5, 0, 5, 10]),
    "target without area": ([0, 0, 10, 10], [5, 5, 5, 5]),
    "both the same point": ([5, 5, 5, 5], [5, 5, 5, 5]),
    "both the same line": ([5, 0, 5, 10], [5, 0, 5, 10]),
    "two points": ([5, 5, 5, 5], [9, 2, 9, 2]),
    "both zero": ([0, 0, 0, 0], [0, 0, 0, 0]),
    "target zero": ([10, 10, 30, 40], [0, 0, 0, 0]),
    "prediction zero": ([0, 0, 0, 0], [10, 10, 30, 40]),
    "inverted x": ([10, 0, 0, 10], [0, 0, 10, 10]),
    "inverted": ([10, 10, 5, 5], [0, 0, 10, 10]),
    "inverted far off": ([1e6, 1e6, -1e6, -1e6], [0, 0, 10, 10]),
    "target inverted": ([0, 0, 10, 10], [10, 10, 0, 0]),
    "both inverted": ([10, 10, 0, 0], [9, 9, 1, 1]),
    "touching edge": ([0, 0, 10, 10], [10, 0, 20, 10]),
    "touching corner": ([0, 0, 10, 10], [10, 10, 20, 20]),
    "one common corner": ([0, 0, 10, 10], [0, 0, 20, 20]),
    "contained": ([2, 2, 8, 8], [0, 0, 10, 10]),
    "containing": ([0, 0, 10, 10], [2, 2, 8, 8]),
    "same centre, crossed": ([0, 4, 10, 6], [4, 0, 6, 10]),
    "45 degrees": ([0, 0, 10, 10], [5, 5, 15, 15]),
    "disjoint, 1e5": ([0, 0, 10, 10], [1e5, 1e5, 1.0001e5, 1.0001e5]),
    "disjoint, 1e6": ([-1e6, -1e6, -1e6 + 8, -1e6 + 8], [1e6 - 8, 1e6 - 8, 1e6, 1e6]),
    "negative": ([-20, -30, -10, -5], [-18, -28, -9, -7]),
    "1e-3 against 1e6": ([0, 0, 1e-3, 1e-3], [0, 0, 1e6, 1e6]),
    "1e6 against 1e-3": ([0, 0, 1e6, 1e6], [0, 0, 1e-3, 1e-3]),
    "1e-3 wide, 1e6 high": ([0, 0, 1e-3, 1e6], [0, 0, 1e6, 1e-3]),
    "1e20": ([0, 0, 1e20, 1e20], [1e19, 0, 1e20, 1e20]),
    "subnormal": ([0, 0, 1e-40, 1e-40], [0, 0, 1e-40, 2e-40]),
    "subnormal against 1": ([0, 0, 1e-40, 1e-40], [0, 0, 1, 1]),
}

LOGITS = [0.0, 1e-3, 1.0, -1.0, 20.0, -20.0, 100.0, -100.0, 1e4, -1e4]
PROBABILITIES = [0.0, 1e-30, 1e-7, 1e-3, 0.5, 0.999, 1.0]
QUALITIES = [0.0, 1e-6, 0.3, 0.5, 1.0]

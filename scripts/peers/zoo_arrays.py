"""Arrays that Python and Swift make alike from a name: what scripts/peers/compare_zoo.py and ModelsTests share.

Number i of an array is a hash of its name and i (FNV-1a, then the end of SplitMix64; Steele et al. 2014,
doi:10.1145/2660193.2660195): 24 bits of it over 2^24. Weights are uniform with variance 2/fan-in, so that
activations neither grow nor vanish behind ReLUs; the twin is Tests/ModelsTests/ZooArrays.swift.
"""
import numpy as np

CHUNK = 1 << 16  # what stays in a cache


def uniform(name, count):
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    values = np.empty(count, np.float32)
    for first in range(0, count, CHUNK):
        with np.errstate(over="ignore"):
            z = np.arange(first + 1, min(first + CHUNK, count) + 1, dtype=np.uint64)
            z = z * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            z ^= z >> np.uint64(31)
        values[first:first + CHUNK] = (z >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)
    return values


def symmetric(name, count):
    return np.float32(2) * uniform(name, count) - np.float32(1)


def array(name, shape, seed=0):
    """A parameter or a running statistic, by its name and shape."""
    count, key = int(np.prod(shape)), f"{seed}/{name}"
    if name.endswith("running_mean") or name.endswith(".bias"):
        values = symmetric(key, count) * np.float32(0.125)
    elif name.endswith("running_var"):
        values = uniform(key, count) + np.float32(0.5)
    elif name.endswith("layer_scale") or len(shape) == 1:
        values = uniform(key, count) * np.float32(0.5) + np.float32(0.75)
    else:
        fan_in = int(np.prod(shape[1:]))
        values = symmetric(key, count) * np.sqrt(np.float32(6) / np.float32(fan_in))
    return values.reshape(shape)


def images(count, channels, size, seed=0):
    return (symmetric(f"{seed}/images", count * channels * size * size) * np.float32(1.75)).reshape(
        count, channels, size, size)

"""Data: datasets, samplers and the DataLoader with PyTorch's names; images of digits; transforms.

>>> from tinygrad_cnn.data import DataLoader, mnist
>>> train, test = mnist()
>>> images, labels = next(iter(DataLoader(train, batch_size=64, shuffle=True)))
>>> tuple(images.shape), tuple(labels.shape)
((64, 1, 28, 28), (64,))
"""

from __future__ import annotations

from tinygrad_cnn.data import transforms
from tinygrad_cnn.data.collate import default_collate, default_convert
from tinygrad_cnn.data.dataset import (
    ConcatDataset,
    Dataset,
    IterableDataset,
    Subset,
    TensorDataset,
    random_split,
)
from tinygrad_cnn.data.idx import read_idx
from tinygrad_cnn.data.images import Images, digits, fashion_mnist, mnist, openml
from tinygrad_cnn.data.loader import DataLoader, get_worker_info
from tinygrad_cnn.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

__all__ = [
    "BatchSampler",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "Images",
    "IterableDataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "default_collate",
    "default_convert",
    "digits",
    "fashion_mnist",
    "get_worker_info",
    "mnist",
    "openml",
    "random_split",
    "read_idx",
    "transforms",
]

import numpy as np
import torch
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    Subset,
    WeightedRandomSampler,
    random_split,
)
from torch.utils.data.dataloader import default_collate
from torch.utils.data.sampler import SubsetRandomSampler


class Toy(Dataset):
    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        if torch.is_tensor(index):
            index = index.tolist()
        return {"x": np.full(2, index, dtype=np.float64), "y": index % 3, "name": f"sample {index}"}


class Even(Sampler):
    def __init__(self, data_source):
        self.data_source = data_source

    def __iter__(self):
        return iter(range(0, len(self.data_source), 2))

    def __len__(self):
        return len(self.data_source) // 2


def pad_collate(batch):
    xs, ys = zip(*batch)
    lengths = torch.tensor([len(x) for x in xs])
    out = torch.zeros(len(xs), max(lengths), dtype=torch.double)
    for i, x in enumerate(xs):
        out[i, : len(x)] = x
    return out, lengths, torch.stack(ys)


def seed_worker(worker_id):
    np.random.seed(torch.initial_seed() % 2**32)


data = Toy(10)
labels = torch.tensor([data[i]["y"] for i in range(len(data))])
class_weights = 1.0 / torch.tensor([(labels == c).sum().item() for c in range(3)], dtype=torch.double)
weighted = WeightedRandomSampler(weights=class_weights[labels], num_samples=3000, replacement=True)
batches = BatchSampler(SequentialSampler(data), batch_size=3, drop_last=True)
sequences = [(torch.arange(n + 1, dtype=torch.double), torch.tensor(n)) for n in range(5)]
indices = list(range(10))
np.random.default_rng(0).shuffle(indices)
train, valid = SubsetRandomSampler(indices[:7]), SubsetRandomSampler(indices[7:])
parts = random_split(data, [0.8, 0.2], generator=torch.Generator().manual_seed(42))
generator = torch.Generator()
generator.manual_seed(0)
loader = DataLoader(
    data, 4, False, SequentialSampler(data), num_workers=0, worker_init_fn=seed_worker, generator=generator, timeout=0
)
drawn = torch.tensor([labels[i].item() for i in weighted])

losses = [float(batch["x"].sum()) for batch in loader]
results = {
    "in order": [(batch["x"].numpy(), batch["y"].tolist(), batch["name"]) for batch in loader],
    "batches": [batch["y"].tolist() for batch in DataLoader(data, batch_sampler=batches)],
    "lengths": (len(loader), len(batches), len(DataLoader(data, batch_sampler=batches)), len(weighted), len(train)),
    "own": [batch["y"].tolist() for batch in DataLoader(data, batch_size=2, sampler=Even(data))],
    "train": sorted(i for b in DataLoader(data, batch_size=3, sampler=train) for i in b["x"][:, 0].int().tolist()),
    "valid": sorted(valid),
    "balanced": [bool(abs((drawn == c).double().mean() - 1 / 3) < 0.05) for c in range(3)],
    "no replacement": sorted(WeightedRandomSampler([0.1, 0.9, 0.4], 3, replacement=False)),
    "padded": [[t.numpy() for t in b] for b in DataLoader(sequences, batch_size=2, collate_fn=pad_collate)],
    "joined": ConcatDataset([Subset(data, [1, 3]), data])[1]["name"],
    "parts": (len(parts[0]), len(parts[1]), sorted(list(parts[0].indices) + list(parts[1].indices))),
    "one by one": list(DataLoader([1, 2, 3], batch_size=None)),
    "collated": default_collate([1.0, 2.0]).numpy(),
    "random": (sorted(RandomSampler(data)), len(RandomSampler(data, replacement=True, num_samples=4))),
    "next": next(iter(DataLoader(data, batch_size=5)))["y"].tolist(),
}

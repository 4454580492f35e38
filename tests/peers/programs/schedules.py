"""Warm-up and decay in sequence, an average of the weights, gradients added up over small batches, parameter groups."""

import copy

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.optim.lr_scheduler import (
    ChainedScheduler,
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    PolynomialLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, TensorDataset

torch.set_default_dtype(torch.float64)


def fill(module):
    with torch.no_grad():
        for i, p in enumerate(module.parameters()):
            p.copy_(torch.sin(torch.arange(p.numel(), dtype=p.dtype) * 0.7 + i).view_as(p) * 0.3)
    return module


model = fill(nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8, momentum=0.05), nn.GELU(), nn.Linear(8, 3)))
decay = [p for n, p in model.named_parameters() if p.ndim > 1]
rest = [p for n, p in model.named_parameters() if p.ndim <= 1]
optimizer = torch.optim.AdamW(
    [{"params": decay, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0, "lr": 3e-3}],
    lr=1e-2,
    betas=(0.8, 0.95),
)
warmup = LinearLR(optimizer, start_factor=0.1, total_iters=5)
cosine = CosineAnnealingLR(optimizer, T_max=20, eta_min=1e-4)
scheduler = SequentialLR(optimizer, [warmup, cosine], milestones=[5])
ema = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
plain = AveragedModel(model)
teacher = copy.deepcopy(model).requires_grad_(False)

x = torch.cos(torch.arange(240.0).view(48, 5) * 0.37)
y = (x.sum(1) * 3).long().remainder(3)
loader = DataLoader(TensorDataset(x, y), batch_size=6, shuffle=False, num_workers=0, pin_memory=False, drop_last=True)

losses, rates, norms = [], [], []
accumulate = 2
for epoch in range(4):
    model.train()
    optimizer.zero_grad(set_to_none=True)
    for i, (inputs, labels) in enumerate(loader):
        out = model(inputs)
        loss = F.cross_entropy(out, labels, label_smoothing=0.1) / accumulate
        soft = F.kl_div(F.log_softmax(out / 2, -1), F.softmax(teacher(inputs) / 2, -1), reduction="batchmean")
        (loss + 0.1 * soft).backward()
        losses.append(loss.item() * accumulate)
        if (i + 1) % accumulate == 0:
            norms.append(float(nn.utils.clip_grad_norm_(model.parameters(), 0.5, error_if_nonfinite=True)))
            optimizer.step()
            optimizer.zero_grad()
            scheduler.step()
            ema.update_parameters(model)
            rates.append(scheduler.get_last_lr())
    plain.update_parameters(model)
    with torch.no_grad():
        for p, q in zip(teacher.parameters(), model.parameters()):
            p.mul_(0.9).add_(q, alpha=0.1)

curves = {}
for name, make in {
    "chained": lambda o: ChainedScheduler([ConstantLR(o, factor=0.5, total_iters=4), ExponentialLR(o, gamma=0.9)]),
    "restarts": lambda o: CosineAnnealingWarmRestarts(o, T_0=3, T_mult=2, eta_min=0.01),
    "polynomial": lambda o: PolynomialLR(o, total_iters=6, power=2.0),
    "lambda": lambda o: LambdaLR(o, [lambda e: 0.95**e, lambda e: 1 / (1 + e)]),
    "step": lambda o: StepLR(o, 3, gamma=0.5),
}.items():
    o = torch.optim.SGD(
        [{"params": [nn.Parameter(torch.zeros(1))]}, {"params": [nn.Parameter(torch.zeros(1))], "lr": 2.0}],
        lr=1.0,
        momentum=0.9,
    )
    s = make(o)
    curve = []
    for _ in range(10):
        o.step()
        s.step()
        curve.append([g["lr"] for g in o.param_groups])
    curves[name] = curve
    saved = s.state_dict()
    curves[name + " last"] = saved["last_epoch"] if "last_epoch" in saved else len(saved["_schedulers"])
plateau_optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
plateau = ReduceLROnPlateau(
    plateau_optimizer, mode="min", factor=0.3, patience=1, threshold=1e-2, cooldown=1, min_lr=0.01
)
curve = []
for metric in [1.0, 0.9, 0.9, 0.9, 0.9, 0.895, 0.8, 0.8, 0.8, 0.8, 0.8]:
    plateau.step(metric)
    curve.append(plateau.get_last_lr()[0])
curves["plateau"] = curve

model.eval()
ema.eval()
results = {
    "rates": rates,
    "norms": norms,
    "curves": curves,
    "ema": ema(x).detach().numpy(),
    "averaged": {k: v.numpy() for k, v in plain.module.state_dict().items() if v.ndim},
    "n_averaged": int(plain.n_averaged),
    "model": model(x).detach().numpy(),
    "groups": [{k: v for k, v in g.items() if k != "params"} for g in optimizer.state_dict()["param_groups"]],
}

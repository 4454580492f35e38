"""Images: every padding mode, resizing with and without aliases, blurs by depthwise convolution, losses on pyramids."""

import torch
import torch.nn as nn
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)


def wave(*shape, step=0.41):
    n = 1
    for s in shape:
        n *= s
    return torch.sin(torch.arange(n, dtype=torch.float64) * step).view(*shape)


losses, results = [], {}
image = wave(1, 2, 9, 11).requires_grad_()
for mode in ("constant", "reflect", "replicate", "circular"):
    padded = F.pad(image, (2, 1, 3, 2), mode=mode)
    layer = nn.Conv2d(2, 2, 3, padding=1, padding_mode="zeros" if mode == "constant" else mode, groups=2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(wave(2, 1, 3, 3))
    loss = (padded**3).mean() + layer(image).abs().sum()
    losses.append(loss.item())
    results[mode] = torch.autograd.grad(loss, image)[0].numpy()
for layer in (
    nn.ReflectionPad2d((1, 2, 0, 3)),
    nn.ReplicationPad2d(2),
    nn.ZeroPad2d((-1, 1, 2, -2)),
    nn.ConstantPad2d(1, 0.5),
    nn.CircularPad2d(1),
):
    results[repr(layer)] = layer(image).sum(dim=(0, 1)).detach().numpy()

for how in (
    {"size": (4, 5), "mode": "bilinear", "antialias": True},
    {"scale_factor": 0.5, "mode": "bicubic", "antialias": True},
    {"scale_factor": 0.4, "mode": "bicubic", "align_corners": True},
    {"scale_factor": (2, 1.5), "mode": "bilinear", "align_corners": False, "recompute_scale_factor": True},
    {"size": 6, "mode": "area"},
    {"scale_factor": 2.0, "mode": "nearest-exact"},
):
    out = F.interpolate(image, **how)
    loss = (out * wave(*out.shape)).sum()
    losses.append(loss.item())
    results[str(sorted(how))] = torch.autograd.grad(loss, image)[0].numpy()


class Pyramid(nn.Module):
    def __init__(self, levels):
        super().__init__()
        line = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0])
        self.register_buffer("kernel", (line[:, None] * line[None, :] / 256).expand(2, 1, 5, 5))
        self.levels = levels

    def forward(self, x):
        out = []
        for _ in range(self.levels):
            low = F.conv2d(F.pad(x, (2, 2, 2, 2), "reflect"), self.kernel, stride=2, groups=x.size(1))
            out.append(x - F.interpolate(low, size=x.shape[-2:], mode="bilinear", align_corners=False))
            x = low
        return [*out, x]


pyramid = Pyramid(2)
target = pyramid(wave(1, 2, 16, 16, step=0.2))
guess = nn.Parameter(torch.zeros(1, 2, 16, 16))
optimizer = torch.optim.Adagrad([guess], lr=0.2, lr_decay=0.01)
for _ in range(8):
    optimizer.zero_grad(set_to_none=False)
    parts = [
        F.l1_loss(a, b, reduction="sum") + F.smooth_l1_loss(a, b, beta=0.1) for a, b in zip(pyramid(guess), target)
    ]
    variation = (guess[..., 1:] - guess[..., :-1]).abs().mean()
    loss = torch.stack(parts).mean() + 0.1 * variation
    loss.backward()
    guess.grad.nan_to_num_(0.0)
    nn.utils.clip_grad_value_([guess], 0.3)
    optimizer.step()
    losses.append(loss.item())
results["guess"] = guess.detach().numpy()

up = nn.Sequential(
    nn.Conv2d(2, 8, 1),
    nn.PixelShuffle(2),
    nn.Hardtanh(-0.4, 0.6),
    nn.PixelUnshuffle(2),
    nn.ConvTranspose2d(8, 2, 3, 2, 1, 1),
)
with torch.no_grad():
    for i, p in enumerate(up.parameters()):
        p.copy_(wave(*p.shape, step=0.9 + i) * 0.4)
small = F.adaptive_avg_pool2d(image, (3, None))
pooled, where = F.max_pool2d(image, 3, stride=2, padding=1, ceil_mode=True, return_indices=True)
loss = (
    up(small).pow(2).mean()
    + F.avg_pool2d(image, 2, count_include_pad=False, padding=1).max()
    + F.local_response_norm(pooled, 2).sum()
)
losses.append(loss.item())
results["last"] = torch.autograd.grad(loss, image)[0].numpy()
results["where"] = where.tolist()

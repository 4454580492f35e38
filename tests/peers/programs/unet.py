import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F


class DoubleConv(nn.Module):
    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.double_conv = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, padding_mode="reflect", bias=False),
            nn.InstanceNorm2d(out_channels, affine=True),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1),
            nn.SiLU(inplace=True),
        )

    def forward(self, x):
        return self.double_conv(x)


class Up(nn.Module):
    def __init__(self, in_channels, out_channels, bilinear):
        super().__init__()
        if bilinear:
            self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        else:
            self.up = nn.Sequential(nn.Conv2d(in_channels // 2, in_channels * 2, 1), nn.PixelShuffle(2))
        self.conv = DoubleConv(in_channels, out_channels)

    def forward(self, x1, x2):
        x1 = self.up(x1)
        diff_y = x2.size()[2] - x1.size()[2]
        diff_x = x2.size()[3] - x1.size()[3]
        x1 = F.pad(x1, [diff_x // 2, diff_x - diff_x // 2, diff_y // 2, diff_y - diff_y // 2])
        return self.conv(torch.cat([x2, x1], dim=1))


class UNet(nn.Module):
    def __init__(self, classes, bilinear):
        super().__init__()
        self.inc = DoubleConv(1, 4)
        self.down1 = nn.Sequential(nn.MaxPool2d(2), DoubleConv(4, 8))
        self.down2 = nn.Sequential(nn.AvgPool2d(2, ceil_mode=True), DoubleConv(8, 8))
        self.up1 = Up(16, 4, bilinear)
        self.up2 = Up(8, 4, bilinear)
        self.outc = nn.Conv2d(4, classes, kernel_size=1)

    def forward(self, x):
        x1 = self.inc(x)
        x2 = self.down1(x1)
        x3 = self.down2(x2)
        x = self.up1(x3, x2)
        return self.outc(self.up2(x, x1))


def dice_loss(logits, target, eps=1e-6):
    probs = F.softmax(logits, dim=1)
    onehot = F.one_hot(target, logits.shape[1]).permute(0, 3, 1, 2).to(probs.dtype)
    dims = tuple(range(2, target.dim() + 1))
    inter = (probs * onehot).sum(dim=dims)
    sets = probs.sum(dim=dims) + onehot.sum(dim=dims)
    return 1 - ((2 * inter + eps) / (sets + eps)).mean()


rng = np.random.default_rng(16)
target = torch.from_numpy(
    (rng.uniform(size=(2, 13, 11)) > 0.6).astype(np.int64) + (rng.uniform(size=(2, 13, 11)) > 0.8)
)
images = target.unsqueeze(1) + torch.from_numpy(rng.normal(0, 0.3, (2, 1, 13, 11)))
losses, results = [], {}
for bilinear in (True, False):
    net = UNet(3, bilinear).double()
    with torch.no_grad():  # the same starting weights in every framework
        for p in net.parameters():
            p.copy_(torch.from_numpy(rng.normal(0, 0.25, tuple(p.shape))))
    optimizer = torch.optim.RMSprop(net.parameters(), lr=1e-2, weight_decay=1e-8, momentum=0.5, centered=True)
    for step in range(5):
        masks = net(images)
        loss = F.cross_entropy(masks, target, weight=torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64))
        loss = loss + dice_loss(masks, target)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    prediction = masks.argmax(dim=1)
    for label in range(3):
        hit = ((prediction == label) & (target == label)).sum().item()
        union = ((prediction == label) | (target == label)).sum().item()
        results[f"iou {bilinear} {label}"] = hit / max(union, 1)
results["shape"] = list(masks.shape)
results["confusion"] = torch.stack(
    [((prediction == p) & (target == t)).sum() for p in range(3) for t in range(3)]
).tolist()

import numpy as np
import torch
from torch import nn, optim
from torch.optim import lr_scheduler


def conv3x3(in_planes, out_planes, stride=1):
    return nn.Conv2d(in_planes, out_planes, kernel_size=3, stride=stride, padding=1, bias=False)


class BasicBlock(nn.Module):
    expansion = 1

    def __init__(self, inplanes, planes, stride=1, downsample=None):
        super().__init__()
        self.conv1 = conv3x3(inplanes, planes, stride)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = conv3x3(planes, planes)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = downsample

    def forward(self, x):
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


class ResNet(nn.Module):
    def __init__(self, layers, num_classes=10):
        super().__init__()
        self.inplanes = 8
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
        )
        self.layer1 = self._make_layer(8, layers[0])
        self.layer2 = self._make_layer(16, layers[1], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(16 * BasicBlock.expansion, num_classes)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(m, (nn.BatchNorm2d, nn.GroupNorm)):
                nn.init.constant_(m.weight, 1)
                nn.init.constant_(m.bias, 0)

    def _make_layer(self, planes, blocks, stride=1):
        downsample = None
        if stride != 1 or self.inplanes != planes:
            downsample = nn.Sequential(
                nn.Conv2d(self.inplanes, planes, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(planes)
            )
        layers = [BasicBlock(self.inplanes, planes, stride, downsample)]
        self.inplanes = planes
        layers += [BasicBlock(planes, planes) for _ in range(1, blocks)]
        return nn.Sequential(*layers)

    def forward(self, x):
        x = self.layer2(self.layer1(self.stem(x)))
        x = torch.flatten(self.avgpool(x), 1)
        return self.fc(x)


rng = np.random.default_rng(2)
model = ResNet([1, 2]).to(torch.float64)
state = {}
for name, value in model.state_dict().items():  # the same starting weights in every framework
    if "conv" in name or "fc" in name or name.endswith("0.weight"):
        state[name] = torch.from_numpy(rng.normal(0, 0.15, tuple(value.shape)))
    else:
        state[name] = value
print(model.load_state_dict(state))
results = {
    "names": [name for name, _ in model.named_parameters()],
    "modules": [name for name, _ in model.named_modules()],
    "count": sum(p.numel() for p in model.parameters() if p.requires_grad),
    "repr": repr(model),
}

inputs = torch.from_numpy(rng.normal(size=(12, 3, 24, 24)))
targets = torch.from_numpy(rng.integers(0, 10, 12))
criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
decay = [p for p in model.parameters() if p.dim() > 1]
plain = [p for p in model.parameters() if p.dim() <= 1]
optimizer = optim.SGD(
    [{"params": decay, "weight_decay": 5e-3}, {"params": plain, "lr": 0.02}], lr=0.05, momentum=0.9, nesterov=True
)
scheduler = lr_scheduler.CosineAnnealingLR(optimizer, T_max=6)
losses = []
for epoch in range(6):
    model.train()
    for i in range(0, len(inputs), 4):
        loss = criterion(model(inputs[i : i + 4]), targets[i : i + 4])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    scheduler.step()
    model.eval()
    with torch.inference_mode():
        outputs = model(inputs)
        _, predicted = torch.max(outputs.data, 1)
        results[f"correct {epoch}"] = (predicted == targets).sum().item()
        results[f"eval {epoch}"] = criterion(outputs, targets).item()
results["running"] = model.layer2[0].bn1.running_var.tolist()
results["batches"] = model.stem[1].num_batches_tracked.item()
results["lr"] = [group["lr"] for group in optimizer.param_groups]

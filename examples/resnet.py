# %% [markdown]
# # A small residual network
#
# Why do deep networks have skip connections? We train the same 20 convolutions twice, with skips and without, on
# scikit-learn's digits of 8×8 pixels, and look at the gradients that reach the first layers.
#
# Run it as a script, `python examples/resnet.py`, or open it as a notebook (jupytext). The pictures go to
# `pictures/resnet/`.
# Source of the idea: He, Zhang, Ren, Sun, Deep residual learning for image recognition (2015), arXiv:1512.03385.

# %%
from pathlib import Path

import matplotlib.pyplot as plt

import tinygrad_cnn as tg
import tinygrad_cnn.nn.functional as F
from tinygrad_cnn import nn, plot
from tinygrad_cnn.data import digits

PICTURES = Path("pictures/resnet")
PICTURES.mkdir(parents=True, exist_ok=True)
train_set, test_set = digits()
print(train_set, test_set)

# %% [markdown]
# ## 1. The block
#
# Two convolutions, whose result is *added* to what came in. Where the size changes, the skip gets a 1×1 convolution.


# %%
class Block(nn.Module):
    def __init__(self, before, after, stride=1, skip=True):
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride=stride, padding=1)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)
        self.skip = skip
        same = before == after and stride == 1
        self.shortcut = nn.Identity() if same or not skip else nn.Conv2d(before, after, 1, stride=stride)

    def forward(self, x):
        out = self.conv2(F.relu(self.conv1(x)))
        return F.relu(out + self.shortcut(x) if self.skip else out)


class ResNet(nn.Module):
    def __init__(self, skip=True):
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, padding=1)
        self.stage1 = nn.Sequential(*(Block(16, 16, skip=skip) for _ in range(5)))
        self.stage2 = nn.Sequential(Block(16, 32, 2, skip), *(Block(32, 32, skip=skip) for _ in range(4)))
        self.fc = nn.Linear(32, 10)

    def forward(self, x):
        x = self.stage2(self.stage1(F.relu(self.stem(x))))  # (N, 1, 8, 8) -> (N, 16, 8, 8) -> (N, 32, 4, 4)
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))  # -> (N, 32) -> (N, 10)


tg.manual_seed(0)
deep = ResNet()
print(f"{sum(p.numel() for p in deep.parameters()):,} parameters")

# %% [markdown]
# The graph: blocks that are alike are drawn once, with their number.

# %%
graph = tg.graph.capture(deep, test_set.tensors()[0][:1])
graph.save(PICTURES / "1-graph.svg", fold="repeat")
graph.save(PICTURES / "2-graph-of-modules.svg", fold=2)
graph

# %% [markdown]
# ## 2. The gradients at the start
#
# One batch, one backward. With skips the gradient reaches the first layer as it was; without, it shrinks with each
# layer on the way to the input.

# %%
images, labels = train_set.take(slice(128)).tensors()
figure, panels = plt.subplots(1, 2, figsize=(11, 8.5), layout="constrained", sharex=True)
for panel, skip in zip(panels, (True, False), strict=True):
    tg.manual_seed(0)
    net = ResNet(skip)
    F.cross_entropy(net(images), labels).backward()
    plot.gradient_flow(net, axes=panel)
    panel.set_title("with skips" if skip else "without")
    print("with skips:" if skip else "without:   ", f"first layer {net.stem.weight.grad.abs().mean().item():.1e}")
figure.savefig(PICTURES / "3-gradient-flow.png", dpi=110)

# %% [markdown]
# ## 3. Training, both in the same way

# %%
histories = {}
for skip in (True, False):
    tg.manual_seed(0)
    net = ResNet(skip)
    histories[skip] = tg.train.fit(net, train_set, test_set, epochs=8, lr=2e-3)
    print("with skips:" if skip else "without:   ", f"test accuracy {histories[skip].last['test_accuracy']:.3f}")
    if skip:
        deep = net

# %%
figure = plt.figure(figsize=(9, 6.4), layout="constrained")
for part, skip in zip(figure.subfigures(2, 1), (True, False), strict=True):
    plot.curves(histories[skip], figure=part)
    part.suptitle("with skips" if skip else "without skips")
figure.savefig(PICTURES / "4-curves.png", dpi=150)

# %% [markdown]
# ## 4. What it confuses, and its weights

# %%
images, labels = test_set.tensors()
guessed = tg.train.predict(deep, images).argmax(axis=1)
plot.confusion(labels, guessed, test_set.classes).figure.savefig(PICTURES / "5-confusion.png", dpi=150)

# %%
plot.weight_histograms(deep, most=8)[0].figure.savefig(PICTURES / "6-weights.png", dpi=150)

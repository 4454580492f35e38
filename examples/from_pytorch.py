# %% [markdown]
# # Transfer from PyTorch
#
# Modules here have PyTorch's names, and so have their parameters: a state dict that PyTorch wrote goes straight into
# the same model written here. We read a safetensors file with such names, check the model against PyTorch (if it is
# installed; nothing else needs it), and then use what it learnt for pictures of another kind, of which we have 20.
#
# Run it as a script, `python examples/from_pytorch.py`, or open it as a notebook (jupytext). The files go to
# `pictures/from_pytorch/`.

# %%
import importlib.util
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import tinygrad_cnn as tg
import tinygrad_cnn.nn.functional as F
from tinygrad_cnn import nn, optim, plot
from tinygrad_cnn.data import digits, mnist

PICTURES = Path("pictures/from_pytorch")
PICTURES.mkdir(parents=True, exist_ok=True)
HAS_TORCH = importlib.util.find_spec("torch") is not None

# %% [markdown]
# ## 1. A model as a PyTorch user writes it
#
# Only the import differs, so one text serves both: this function takes the `nn` of either. The file that the model is
# loaded from holds names and arrays, nothing that could run.


# %%
def net_class(nn):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(
                nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
                nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
            )  # fmt: skip
            self.classifier = nn.Linear(32 * 7 * 7, 10)

        def forward(self, x):
            return self.classifier(self.features(x).flatten(1))

    return Net


Net = net_class(nn)

# %% [markdown]
# ## 2. The file
#
# Usually somebody else has made it, with `safetensors.torch.save_file(model.state_dict(), "net.safetensors")`. So that
# this page needs no download, we train on MNIST ourselves, and write it: the names are the same.

# %%
train_set, test_set = mnist()
tg.manual_seed(0)
teacher = Net()
history = tg.train.fit(teacher, train_set, test_set, epochs=3, lr=2e-3)
tg.save(teacher.state_dict(), PICTURES / "net.safetensors")
print(f"on MNIST: {history.last['test_accuracy']:.3f}")
for name, values in sorted(tg.load(PICTURES / "net.safetensors").items()):
    print(f"  {name:32} {tuple(values.shape)}")

# %% [markdown]
# ## 3. Into a new model, and the check
#
# `load_state_dict` is strict: a name too few, too many, or a wrong shape is an error that names it.

# %%
model = Net()
print(model.load_state_dict(tg.load(PICTURES / "net.safetensors")))
model.eval()
images, labels = test_set.tensors()
with tg.no_grad():
    ours = model(images).numpy()

if HAS_TORCH:
    import torch

    theirs = net_class(torch.nn)().eval()
    loaded = tg.load(PICTURES / "net.safetensors")
    theirs.load_state_dict({name: torch.from_numpy(values.numpy()) for name, values in loaded.items()})
    with torch.no_grad():
        expected = theirs(torch.from_numpy(images.numpy())).numpy()
    print(f"the scores of PyTorch and ours differ by at most {np.abs(ours - expected).max():.1e}")
    assert np.allclose(ours, expected, atol=1e-4)

    again = Net()  # and without a file, straight from PyTorch's model
    again.load_state_dict({name: tg.tensor(values.numpy()) for name, values in theirs.state_dict().items()})
    with tg.no_grad():
        assert np.array_equal(again.eval()(images).numpy(), ours)
else:
    print("PyTorch is not installed: the comparison is left out, all else goes on")

# %% [markdown]
# ## 4. Pictures of another kind
#
# scikit-learn's digits were written by other people, and scanned as 8×8 pixels. Enlarged to 28×28, the network reads
# more than half of them as it is. We have two pictures of each digit to learn from.


# %%
def enlarged(part, each=None):
    """The 8×8 pictures, `each` of every digit, as MNIST would have them: images (N, 1, 28, 28) and labels."""
    rows = np.concatenate([np.flatnonzero(part.labels == digit)[:each] for digit in range(10)])
    x, y = part.normalize(0, 1).take(rows).tensors()
    x = F.pad(F.interpolate(x, size=(20, 20), mode="bilinear"), (4, 4, 4, 4))
    return (x - train_set.mean) / train_set.std, y


small_set, rest = digits()
few_images, few_labels = enlarged(small_set, 2)
new_images, new_labels = enlarged(rest)
plot.samples(few_images[:10], few_labels[:10], few_labels[:10])[0].figure.savefig(PICTURES / "1-few.png", dpi=150)

# %% [markdown]
# Three ways: keep the convolutions as they are and learn the last layer (they are frozen, and stay in eval mode, so
# that the batch norms keep their statistics); tune everything, gently; or start from scratch.


# %%
def accuracy(net):
    return float((tg.train.predict(net, new_images).argmax(axis=1) == new_labels.numpy()).mean())


def learn(net, frozen=False, lr=2e-3, steps=60):
    """Train on the few pictures, all of them in each step; the accuracy on new ones after each tenth step."""
    net.features.requires_grad_(not frozen)
    optimizer = optim.Adam([p for p in net.parameters() if p.requires_grad], lr=lr)
    curve = [accuracy(net)]
    for step in range(1, steps + 1):
        net.train()
        net.features.train(not frozen)
        loss = F.cross_entropy(net(few_images), few_labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 10 == 0:
            curve.append(accuracy(net))
    return curve


def transferred():
    net = Net()
    net.load_state_dict(tg.load(PICTURES / "net.safetensors"))
    return net


tg.manual_seed(1)
tuned = transferred()
curves = {
    "transferred, all layers tuned": learn(tuned, lr=5e-4),
    "transferred, only the last layer": learn(transferred(), frozen=True),
    "from scratch": learn(Net()),
}
figure, axes = plt.subplots(figsize=(5.4, 3.4), layout="constrained")
for (name, curve), colour in zip(curves.items(), ("#0072B2", "#009E73", "#D55E00"), strict=True):
    axes.plot(range(0, 61, 10), curve, "o-", color=colour, markersize=4, label=name)
    print(f"{name:32} {curve[0]:.3f} -> {curve[-1]:.3f}")
axes.set_xlabel("steps on 20 pictures")
axes.set_ylabel("accuracy on new pictures")
axes.set_ylim(0, 1.02)
axes.grid(alpha=0.25)
axes.legend(frameon=False, loc="lower right")
figure.savefig(PICTURES / "2-transfer.png", dpi=150)

# %% [markdown]
# What the first convolution makes of one of the new pictures, and the graph of the network, as PyTorch's names have it.

# %%
with tg.no_grad():
    maps = tuned.features[0](new_images[:1])[0]
plot.feature_maps(new_images[0], maps, columns=9)[0].figure.savefig(PICTURES / "3-feature-maps.png", dpi=150)

# %%
graph = tg.graph.capture(tuned.eval(), new_images[:1])
graph.save(PICTURES / "4-graph.svg")
print(graph.summary())
graph

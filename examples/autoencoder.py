# %% [markdown]
# # An autoencoder: a digit as two numbers
#
# A network that must give back what it was shown, through a bottleneck of two numbers. Nobody tells it which digit is
# which, and yet the plane of the two numbers becomes a map of the digits.
#
# Run it as a script, `python examples/autoencoder.py`, or open it as a notebook (jupytext). The pictures go to
# `pictures/autoencoder/`.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import tinygrad_cnn as tg
import tinygrad_cnn.nn.functional as F
from tinygrad_cnn import nn, plot
from tinygrad_cnn.data import TensorDataset, mnist

PICTURES = Path("pictures/autoencoder")
PICTURES.mkdir(parents=True, exist_ok=True)
train_set, test_set = (part.normalize(0, 1) for part in mnist())  # pixels from 0 to 1
images, _ = train_set.tensors()
test_images, test_labels = test_set.tensors()

# %% [markdown]
# ## 1. The encoder and the decoder
#
# Convolutions with stride 2 on the way in, transposed ones on the way out: each undoes the shape of the other.


# %%
class Autoencoder(nn.Module):
    def __init__(self, code=2):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 16, 4, stride=2, padding=1), nn.ReLU(),  # -> (N, 16, 14, 14)
            nn.Conv2d(16, 32, 4, stride=2, padding=1), nn.ReLU(),  # -> (N, 32, 7, 7)
            nn.Flatten(), nn.Linear(32 * 7 * 7, 64), nn.ReLU(), nn.Linear(64, code),  # -> (N, 2)
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Linear(code, 64), nn.ReLU(), nn.Linear(64, 32 * 7 * 7), nn.ReLU(), nn.Unflatten(1, (32, 7, 7)),
            nn.ConvTranspose2d(32, 16, 4, stride=2, padding=1), nn.ReLU(),  # -> (N, 16, 14, 14)
            nn.ConvTranspose2d(16, 1, 4, stride=2, padding=1),  # -> (N, 1, 28, 28), before the sigmoid
        )  # fmt: skip

    def forward(self, x):
        return self.decoder(self.encoder(x))


tg.manual_seed(1)
model = Autoencoder()
graph = tg.graph.capture(model, test_images[:1])
graph.save(PICTURES / "1-graph.svg")
graph

# %% [markdown]
# ## 2. Training
#
# The target is the input itself; the loss compares pixel by pixel. A second network, with 16 numbers instead of two,
# shows what the narrow bottleneck costs.


# %%
def train(model):
    return tg.train.fit(
        model, TensorDataset(images, images), TensorDataset(test_images, test_images),
        epochs=9, lr=2e-3, loss=F.binary_cross_entropy_with_logits,
    )  # fmt: skip


wide = Autoencoder(16)
histories = {"2 numbers": train(model), "16 numbers": train(wide)}
figure, axes = plt.subplots(figsize=(5, 3.2), layout="constrained")
for (name, history), colour in zip(histories.items(), ("#0072B2", "#D55E00"), strict=True):
    epochs = [row["epoch"] for row in history.epochs]
    axes.plot(epochs, [row["train_loss"] for row in history.epochs], ":", color=colour)
    axes.plot(epochs, [row["test_loss"] for row in history.epochs], "o-", color=colour, markersize=4, label=name)
    print(f"{name}: test loss {history.epochs[0]['test_loss']:.3f} -> {history.last['test_loss']:.3f}")
axes.set_xlabel("epoch")
axes.set_ylabel("loss of a pixel (dotted: training)")
axes.legend(frameon=False)
figure.savefig(PICTURES / "2-loss.png", dpi=150)

# %% [markdown]
# ## 3. In and out
#
# What went in; what comes back through two numbers: the kind of digit, blurred, and sometimes another one; what comes
# back through sixteen.

# %%
with tg.no_grad():
    codes = model.encoder(test_images)
    back = [tg.sigmoid(net(test_images)) for net in (model, wide)]
one_of_each = [int(np.flatnonzero(test_labels.numpy() == digit)[0]) for digit in range(10)]
figure, panels = plt.subplots(3, 10, figsize=(10, 3.1), layout="constrained")
for row, pictures in zip(panels, (test_images, *back), strict=True):
    for panel, picture in zip(row, pictures[one_of_each], strict=True):
        panel.imshow(picture[0], cmap="gray", vmin=0, vmax=1)
        panel.set_axis_off()
figure.savefig(PICTURES / "3-in-and-out.png", dpi=150)

# %% [markdown]
# ## 4. The map
#
# Each dot is a test digit, its place the two numbers; the colours were not part of the training.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(11.5, 5.2), layout="constrained")
dots = left.scatter(*codes.numpy().T, c=test_labels.numpy(), cmap="tab10", vmin=-0.5, vmax=9.5, s=10)
figure.colorbar(dots, ax=left, ticks=range(10), label="digit")
left.set_title("1,000 test digits as two numbers each", fontsize=10)

# %% [markdown]
# The other way round: the decoder draws a digit for any two numbers, so also for those between the dots.

# %%
low, high = np.percentile(codes.numpy(), [3, 97], axis=0)
across, up = np.meshgrid(np.linspace(low[0], high[0], 16), np.linspace(high[1], low[1], 16))
with tg.no_grad():
    drawn = tg.sigmoid(model.decoder(tg.tensor(np.stack([across.ravel(), up.ravel()], 1), dtype=tg.float32)))
sheet = drawn.reshape(16, 16, 28, 28).permute(0, 2, 1, 3).reshape(448, 448)  # rows of pictures -> one picture
right.imshow(sheet, cmap="gray", extent=(low[0], high[0], low[1], high[1]), aspect="auto")
right.set_title("what the decoder draws there", fontsize=10)
figure.savefig(PICTURES / "4-map.png", dpi=150)
figure  # a notebook shows it once more, complete

# %% [markdown]
# ## 5. The filters that it found

# %%
plot.filters(model.encoder[0].weight)[0].figure.savefig(PICTURES / "5-filters.png", dpi=150)

# %% [markdown]
# # A convolutional network from ops, from the first filter to the graph
#
# This retells a notebook on CNNs that builds each layer by hand: what a convolution does to a digit, the layers,
# training in 25 iterations of 10 images, predictions, the learned filters, and what they see. Here the layers are ops,
# their gradients come from autograd, and at the end stands the picture that such a notebook never had: the graph.
#
# Run it as a script, `python examples/seed.py`, or open it as a notebook (it is text in jupytext's percent format).
# The pictures go to `pictures/seed/`.

# %%
from pathlib import Path

import tinygrad_cnn as tg
import tinygrad_cnn.nn.functional as F
from tinygrad_cnn import plot
from tinygrad_cnn.data import mnist
from tinygrad_cnn.nn import Parameter
from tinygrad_cnn.random import Generator

PICTURES = Path("pictures/seed")
PICTURES.mkdir(parents=True, exist_ok=True)

train_set, test_set = mnist()  # 5,000 and 1,000 real handwritten digits, which come with the package
images, labels = train_set.tensors()
test_images, test_labels = test_set.tensors()
print("images", images.shape, "labels", labels.shape)

# %% [markdown]
# ## 1. What a convolution does
#
# A 3×3 filter slides over the picture; each new pixel is the weighted sum of nine old ones. Three classical filters:
# one sharpens, one answers to horizontal edges, one to vertical edges. Nothing is learnt here.

# %%
plot.refresher(test_images[0])[0].figure.savefig(PICTURES / "1-refresher.png", dpi=150)

# %% [markdown]
# The same by hand, with the op: one filter, one picture.

# %%
vertical = tg.tensor([[-1.0, 0.0, 1.0]] * 3).reshape(1, 1, 3, 3)
edges = F.conv2d(test_images[:1], vertical)
print("28 x 28 pixels become", tuple(edges.shape[2:]), "since a filter of 3 fits 26 times into 28")

# %% [markdown]
# ## 2. The layers are ops
#
# | layer | op | shape of its result |
# |---|---|---|
# | convolution, 6 filters 3×3 | `F.conv2d` | (N, 6, 26, 26) |
# | max-pool 2 | `F.max_pool2d` | (N, 6, 13, 13) |
# | flatten | `flatten` | (N, 1014) |
# | fully connected, 1014 → 10 | `F.linear` | (N, 10) |
# | softmax, with cross-entropy as the loss | `F.cross_entropy` | () |
#
# Parameters and ops are all there is: no Module, so that nothing is hidden.

# %%
generator = Generator().manual_seed(42)
filters = Parameter(tg.randn(6, 1, 3, 3, generator=generator) / 9)
weight = Parameter(tg.randn(10, 1014, generator=generator) / 1014)


def feature_maps(x):
    return F.conv2d(x, filters)  # (N, 1, 28, 28) -> (N, 6, 26, 26)


def scores(x):
    pooled = F.max_pool2d(feature_maps(x), 2)  # -> (N, 6, 13, 13)
    return F.linear(pooled.flatten(1), weight)  # -> (N, 1014) -> (N, 10)


def accuracy(out, y):
    return (out.argmax(dim=1) == y).float().mean().item()


# %% [markdown]
# The gradient of the loss with respect to the scores is a famous one, p − onehot: what softmax gives, minus one at the
# right class. Autograd finds it without being told.

# %%
z = scores(images[:1]).detach().requires_grad_()
(slope,) = tg.autograd.grad(F.cross_entropy(z, labels[:1]), z)
by_hand = F.softmax(z, dim=1) - F.one_hot(labels[:1], 10)
print("largest difference:", (slope - by_hand).abs().max().item())

# %% [markdown]
# ## 3. Training
#
# 25 iterations, each on 10 random pictures, with learning rate 0.1.

# %%
history = tg.train.History()
for _ in range(25):
    rows = tg.randint(0, len(labels), (10,), generator=generator)
    out = scores(images[rows])
    loss = F.cross_entropy(out, labels[rows])
    loss.backward()
    with tg.no_grad():
        for parameter in (filters, weight):
            parameter -= 0.1 * parameter.grad
            parameter.grad = None
    history.steps["loss"].append(loss.item())
    history.steps["accuracy"].append(accuracy(out, labels[rows]))
plot.curves(history)[0].figure.savefig(PICTURES / "2-curves.png", dpi=150)

# %% [markdown]
# ## 4. Predictions
#
# Five test digits, and how sure the network is of each; blue is right, red is wrong. 250 pictures, many of them seen
# only once, are enough for most of the test set.

# %%
with tg.no_grad():
    out = scores(test_images)
    test_accuracy = accuracy(out, test_labels)
    probabilities = F.softmax(out[:5], dim=1)
plot.samples(
    test_images[:5], test_labels[:5], probabilities.argmax(dim=1), confidence=probabilities.amax(dim=1)
)[0].figure.savefig(PICTURES / "3-predictions.png", dpi=150)  # fmt: skip
print(f"accuracy on {len(test_labels):,} test digits: {test_accuracy:.3f}")

# %% [markdown]
# ## 5. The learned filters, and what each makes of a digit

# %%
plot.filters(filters)[0].figure.savefig(PICTURES / "4-filters.png", dpi=150)

# %%
with tg.no_grad():
    maps = feature_maps(test_images[:1])[0]
plot.feature_maps(test_images[0], maps)[0].figure.savefig(PICTURES / "5-feature-maps.png", dpi=150)

# %% [markdown]
# Which pixels made the network decide as it did? Three ways to ask.

# %%
plot.saliency(scores, test_images[0])[0].figure.savefig(PICTURES / "6-saliency.png", dpi=150)

# %% [markdown]
# ## 6. The graph
#
# Every op from the pictures to the loss, with the shapes that flow along the edges. Autograd walks it backwards.

# %%
graph = tg.graph.capture(
    lambda images, labels: F.cross_entropy(scores(images), labels), test_images[:10], test_labels[:10],
    names={"filters": filters, "weight": weight}, title="the seed's CNN",
)  # fmt: skip
graph.save(PICTURES / "7-graph.svg")
print(graph)
graph  # a notebook shows the picture

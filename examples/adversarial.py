# %% [markdown]
# # An adversarial example: the gradient of the picture
#
# Training follows the gradient of the loss with respect to the weights. Nothing keeps us from asking for the gradient
# with respect to the *picture*: it says how to change each pixel, by very little, so that the network errs.
#
# Run it as a script, `python examples/adversarial.py`, or open it as a notebook (jupytext). The pictures go to
# `pictures/adversarial/`.
# Sources: Goodfellow, Shlens, Szegedy (2014), arXiv:1412.6572; Madry and others (2017), arXiv:1706.06083.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import tinygrad_cnn as tg
import tinygrad_cnn.nn.functional as F
from tinygrad_cnn import optim, plot
from tinygrad_cnn.autograd import grad
from tinygrad_cnn.data import DataLoader, mnist

PICTURES = Path("pictures/adversarial")
PICTURES.mkdir(parents=True, exist_ok=True)
train_set, test_set = (part.normalize(0, 1) for part in mnist())  # pixels from 0 to 1, so that a change is plain to see
images, labels = test_set.tensors()

tg.manual_seed(0)
model = tg.train.build("lenet")
history = tg.train.fit(model, train_set, test_set, epochs=6, lr=2e-3)
print(f"accuracy on clean digits: {history.last['test_accuracy']:.3f}")

# %% [markdown]
# ## 1. One step up the gradient
#
# The fast gradient sign method: each pixel moves by ε, up or down, whichever makes the loss grow.


# %%
def attack(model, x, y, reach):
    """The pictures after one step of size `reach` in each pixel."""
    x = x.detach().requires_grad_()
    (slope,) = grad(F.cross_entropy(model(x), y), x)
    return (x + reach * slope.sign()).clamp(0, 1).detach()


def accuracy(model, x, y):
    return float((tg.train.predict(model, x).argmax(axis=1) == y.numpy()).mean())


reaches = [0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2]
plain = [accuracy(model, attack(model, images, labels, reach), labels) for reach in reaches]
rng = np.random.default_rng(0)
noise = tg.tensor(rng.choice([-1.0, 1.0], images.shape), dtype=tg.float32)
noisy = [accuracy(model, (images + reach * noise).clamp(0, 1), labels) for reach in reaches]
print("change of a pixel   " + "  ".join(f"{reach:5.2f}" for reach in reaches))
print("along the gradient  " + "  ".join(f"{share:5.3f}" for share in plain))
print("in random directions" + "  ".join(f"{share:5.3f}" for share in noisy))

# %% [markdown]
# Noise of the same size does next to nothing; the direction is what matters. Five digits, before and after:

# %%
hit = attack(model, images, labels, 0.15)
before, after = tg.train.predict(model, images), tg.train.predict(model, hit)
fooled = np.flatnonzero((before.argmax(1) == labels.numpy()) & (after.argmax(1) != labels.numpy()))[:5]
figure = plt.figure(figsize=(7, 5.4), layout="constrained")
rows = figure.subfigures(3, 1, height_ratios=(1, 1, 1.15))
plot.samples(images[fooled], labels[fooled], before[fooled].argmax(1), confidence=before[fooled].max(1), figure=rows[0])
for panel, change in zip(rows[1].subplots(1, 5), (hit - images)[fooled], strict=True):
    panel.imshow(change[0], cmap="RdBu_r", vmin=-0.3, vmax=0.3)
    panel.set_axis_off()
rows[1].suptitle("what is added: at most 0.15 in each pixel", fontsize=9)
plot.samples(hit[fooled], labels[fooled], after[fooled].argmax(1), confidence=after[fooled].max(1), figure=rows[2])
figure.savefig(PICTURES / "1-fooled.png", dpi=150)

# %% [markdown]
# ## 2. Wherever you like
#
# Many small steps *down* the loss of another class make the network see that class: here, everything becomes a 3.


# %%
def towards(model, x, target, reach, steps=40):
    """The pictures changed by at most `reach` in each pixel so that the model sees class `target`."""
    y = tg.full((len(x),), target)
    changed = x
    for _ in range(steps):
        step = attack(model, changed, y, -reach / 8)  # against the gradient
        changed = tg.minimum(tg.maximum(step, x - reach), x + reach)
    return changed


ten = images[[int(np.flatnonzero(labels.numpy() == digit)[0]) for digit in range(10)]]
threes = towards(model, ten, 3, 0.3)
seen = tg.train.predict(model, threes)
plot.samples(threes, seen.argmax(1), seen.argmax(1), confidence=seen.max(1))[0].figure.savefig(
    PICTURES / "2-all-threes.png", dpi=150
)
print("seen as 3:", int((seen.argmax(1) == 3).sum()), "of 10")

# %% [markdown]
# The maps of the pixels that matter change as well: above for a clean 7, below for the 7 that is taken for a 3.

# %%
figure = plt.figure(figsize=(6.6, 4), layout="constrained")
for part, picture in zip(figure.subfigures(2, 1), (ten[7], threes[7]), strict=True):
    plot.saliency(model, picture, figure=part)
figure.savefig(PICTURES / "3-saliency.png", dpi=150)

# %% [markdown]
# ## 3. A defence
#
# Train on attacked pictures besides the clean ones, made anew for each batch. It costs a second backward, and twice
# the pictures.

# %%
tg.manual_seed(0)
hardened = tg.train.build("lenet")
optimizer = optim.Adam(hardened.parameters(), lr=2e-3)
for _ in range(6):
    for x, y in DataLoader(train_set, 64, shuffle=True):
        both = tg.cat([x, attack(hardened, x, y, 0.15)])
        loss = F.cross_entropy(hardened(both), tg.cat([y, y]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
firm = [accuracy(hardened, attack(hardened, images, labels, reach), labels) for reach in reaches]

figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
axes.plot(reaches, noisy, "s:", color="0.5", label="random noise")
axes.plot(reaches, firm, "o-", color="#0072B2", label="attacked, hardened network")
axes.plot(reaches, plain, "d-", color="#D55E00", label="attacked, plain network")
axes.set_xlabel("greatest change of a pixel (black is 0, white is 1)")
axes.set_ylabel("accuracy")
axes.set_ylim(0, 1.02)
axes.grid(alpha=0.25)
axes.legend(frameon=False)
figure.savefig(PICTURES / "4-accuracy.png", dpi=150)
at = reaches.index(0.1)
print(f"at 0.1 the plain network has {plain[at]:.3f} right, the hardened one {firm[at]:.3f} (clean: {firm[0]:.3f})")

# %% [markdown]
# # Define, train and draw a model of your own
#
# Run it as a script, `python examples/first_model.py`, or open it as a notebook (jupytext). The picture goes to
# `pictures/first_model/`.

# %%
from pathlib import Path

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.data import mnist

PICTURES = Path("pictures/first_model")
PICTURES.mkdir(parents=True, exist_ok=True)
train_set, test_set = mnist()  # 5,000 and 1,000 handwritten digits

# %%
tg.manual_seed(0)
model = nn.Sequential(
    nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
    nn.Flatten(), nn.Linear(16 * 7 * 7, 10),
)  # fmt: skip
history = tg.train.fit(model, train_set, test_set, epochs=4, lr=3e-3)
print(f"test accuracy: {history.last['test_accuracy']:.3f}")

# %%
graph = tg.graph.capture(model, test_set.tensors()[0][:1])
graph.save(PICTURES / "graph.svg")
print(graph.summary())
graph

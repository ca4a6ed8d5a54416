"""Train a model: the Trainer, on one machine or several."""

"""Tuning: a search for the settings of training with the best result, with TFX's Tuner and KerasTuner."""

"""TFX components after training: Evaluator, SkewGate, Pusher."""

"""TFX components before training: ExampleGen to Transform."""

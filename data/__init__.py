"""From files to records to batches; needs numpy and TensorFlow only."""

"""Random changes of images in training, as Keras' ImageDataGenerator makes them, and by any layers of Keras."""

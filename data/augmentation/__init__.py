"""Random changes of images in training, as Keras' ImageDataGenerator makes them."""

"""What a person looks at after a run: pictures of the data, of the mistakes and of the proof."""

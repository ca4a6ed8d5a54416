"""Load and run one SavedModel."""

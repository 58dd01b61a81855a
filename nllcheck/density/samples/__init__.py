"""The loss as a function of one sample's target: cut out of the program and taken apart into terms."""

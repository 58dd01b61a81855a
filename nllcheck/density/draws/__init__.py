"""Several draws of a latent variable: the program with draws that agree, or with one in the place of all."""

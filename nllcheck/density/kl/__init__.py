"""Divergences and log-densities of latent variables: are the terms without target what they stand for?"""

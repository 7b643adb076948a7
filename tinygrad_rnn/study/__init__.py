"""Studying gradients."""

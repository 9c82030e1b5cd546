"""Tests of embedders, vectors and indexes."""

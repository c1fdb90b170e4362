"""Builds the module that reaches the library; pyproject.toml says all else."""
from setuptools import setup

setup(cffi_modules=["muster_build.py:ffi"])

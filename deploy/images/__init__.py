"""Makes the container images from Debian packages and wheels: `PYTHONPATH=deploy python -m images`; see the README."""

"""`python -m summit_projector`: run the projector alone, configured by environment."""

from summit_projector.projector import serve
from summit_projector.settings import ProjectorSettings
from summit_runtime import process

if __name__ == "__main__":
    process.main("projector", ProjectorSettings, serve)

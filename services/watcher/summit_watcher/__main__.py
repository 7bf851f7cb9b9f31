"""`python -m summit_watcher`: configured by environment only, see `settings`."""

from summit_runtime.process import main
from summit_watcher.main import watch
from summit_watcher.settings import WatcherSettings

if __name__ == "__main__":
    main("watcher", WatcherSettings, watch)

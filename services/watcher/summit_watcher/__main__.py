"""`python -m summit_watcher`: configured by environment only, see `settings`."""

from summit_runtime.process import main
from summit_watcher.settings import WatcherSettings
from summit_watcher.watcher import watch

if __name__ == "__main__":
    main("watcher", WatcherSettings, watch)

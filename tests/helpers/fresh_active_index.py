"""An active index for tests, which need not wait for its background."""

from cardex.retrieval.active_index import ActiveIndex


class FreshActiveIndex(ActiveIndex):
    """Looks up at every question, so that a test need not wait for the background."""

    def current(self):
        self.refresh()
        return super().current()

    def last_known(self):
        self.refresh()
        return super().last_known()

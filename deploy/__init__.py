"""Images, manifests and what checks them."""

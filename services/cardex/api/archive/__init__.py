"""Archives of any size: submitted and watched at the same time, and gone on with after a stop."""

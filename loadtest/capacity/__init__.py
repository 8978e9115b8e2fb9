"""How many of what a number of hospitals needs: a simulation of a job's way through Cardex."""

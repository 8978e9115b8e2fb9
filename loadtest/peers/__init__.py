"""The work of one record done by other servers, to compare Cardex with."""

"""The checks of the labs, one module per lab: right solutions, cases, and the mistakes that people make."""

"""Export a model, serve and call it, and check that serving computes what training did."""

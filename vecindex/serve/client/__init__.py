"""Uses an index that another machine or process serves, with the methods of `Index`."""

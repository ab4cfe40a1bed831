"""The demo: a small content site, its repository, and where ./run keeps them."""

"""The optional accelerator: the forwarder in C, built where a compiler is, loaded where it proves itself."""

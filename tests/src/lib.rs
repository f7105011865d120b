//! Tests of what crosses packages. There is nothing here: each test program has a folder of its own beside this one.

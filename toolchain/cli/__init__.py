"""The commands: arguments in, tables and JSON out; all work is done further down."""

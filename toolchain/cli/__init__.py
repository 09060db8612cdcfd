"""The command line `matting`: options, tables and JSON. The work is done by the other packages."""

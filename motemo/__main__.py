"""Run the command line: `python -m motemo`."""

from motemo.cli import main

main()
